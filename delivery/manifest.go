package delivery

import (
	"fmt"

	"github.com/standpipe/standpipe/manifest"
)

// newManifest is what a plan proves once all of its objects are visible. It is
// a pure function: two workers that publish the same intent write the same bytes.
func newManifest(i Intent, p Plan) (manifest.Manifest, error) {
	m := manifest.Manifest{
		Version: manifest.Version, Origin: p.Origin, Number: i.Number,
		Previous: i.Base, First: p.First, Last: i.Last, Children: p.Children,
		Reason: p.Reason, Raw: p.Raw, Objects: []manifest.Object{},
		Counts: manifest.Counts{Records: p.Records, Dropped: p.Dropped},
		Gaps:   p.Gaps, Intent: i.ID.String(), Rev: i.Rev,
	}
	for _, o := range p.Objects {
		m.Objects = append(m.Objects, manifest.Object{
			Key: o.Key, Size: o.Size(), CRC32: fmt.Sprintf("%08x", o.CRC32()), Contents: o.Contents, Ordinals: o.Ordinals,
		})
	}
	if err := m.Sum(); err != nil {
		return m, fmt.Errorf("intent %s: %w", i.ID, err)
	}
	return m, nil
}
