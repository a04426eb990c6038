package archtest

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// grep refuses the pattern in every text file but minified ones and licences,
// which other people wrote.
func grep(pattern string) func(*Tree) []string {
	re := regexp.MustCompile(pattern)
	return func(t *Tree) []string {
		var found []string
		for _, x := range t.Text {
			if strings.Contains(path.Base(x.Path), ".min.") || strings.HasPrefix(path.Base(x.Path), "LICENSE") {
				continue
			}
			for _, at := range re.FindAllIndex(x.Body, -1) {
				line := 1 + bytes.Count(x.Body[:at[0]], []byte("\n"))
				found = append(found, fmt.Sprintf("%s:%d: %q", x.Path, line, bytes.TrimSpace(x.Body[at[0]:at[1]])))
			}
		}
		return found
	}
}
