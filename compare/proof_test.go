package compare_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/compare"
	"github.com/standpipe/standpipe/manifest"
)

// proved writes an archive of one object on either side, equal, below root, and
// the manifest of one of them.
func proved(t *testing.T, root, side string, change func(*manifest.Manifest)) compare.Config {
	t.Helper()
	a, b := filepath.Join(root, "a"), filepath.Join(root, "b")
	lines := numbered(3)
	var d standpipe.Digest
	for _, l := range lines {
		d.Add([]byte(l))
	}
	write(t, a, key(1, "x"), text(lines))
	write(t, b, key(1, "x"), text(lines))
	m := manifest.Manifest{
		Version: manifest.Version, Number: 1, Last: standpipe.Position{Sequence: "7"},
		Origin:  manifest.Origin{Stream: "class-stream", Created: hour, Incarnation: "20261122000000", Shard: "shardId-000000000000"},
		Objects: []manifest.Object{{Key: side + "/" + key(1, "x"), Contents: manifest.Contents{Records: 1, Lines: d.Lines, Hash: d.Sum()}}},
	}
	if change != nil {
		change(&m)
	}
	write(t, root, manifest.Key(m.Origin, m.Number), m.Encode())
	c := config(t, a, b)
	c.Manifests = open(t, root)
	return c
}

// Whoever asks for a proof and names the wrong place, or the wrong side, has none.
func TestAProofOfNothingIsNoPass(t *testing.T) {
	c := proved(t, t.TempDir(), "a", nil)
	if got := mustRun(t, c); got.Verdict != compare.Equal || got.Proof.Proved != 1 {
		t.Fatalf("%s %+v", got.Headline, got.Proof)
	}
	c.Manifests = c.Stores[compare.A] // below the place where they are
	other := proved(t, t.TempDir(), "b", nil)
	for name, c := range map[string]compare.Config{"no manifests": c, "those of the other side": other} {
		got := mustRun(t, c)
		if got.Verdict != compare.Incomplete || len(got.Problems) != 1 || got.Problems[0].Kind != compare.ProblemProof || !strings.Contains(got.Headline, "no manifest in") {
			t.Errorf("%s: %s %+v %+v", name, got.Headline, got.Problems, got.Proof)
		}
	}
}

// Lines that are cut, spelled or chosen otherwise than the manifest's are not held
// against its hash, and the report says how many objects that leaves unproved.
func TestWhatIsNotComparedWithItsManifestIsCounted(t *testing.T) {
	for name, x := range map[string]struct {
		manifest func(*manifest.Manifest)
		config   func(*compare.Config)
	}{
		"raw":         {manifest: func(m *manifest.Manifest) { m.Raw, m.Objects[0].Lines = true, 1 }},
		"a sample":    {config: func(c *compare.Config) { c.Sample = 2 }},
		"canonical":   {config: func(c *compare.Config) { c.Canonical = true }},
		"JSON values": {config: func(c *compare.Config) { c.Records = compare.JSON }},
	} {
		c := proved(t, t.TempDir(), "a", x.manifest)
		if x.config != nil {
			x.config(&c)
		}
		if got := mustRun(t, c); got.Verdict != compare.Equal || got.Proof.Proved != 0 || got.Proof.Unproved != 1 || len(got.Proof.Wrong) != 0 {
			t.Errorf("%s: %s %+v", name, got.Headline, got.Proof)
		}
	}
}
