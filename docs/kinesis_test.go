package docs_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Each item of the Kinesis server's checklist is there once, in order, with a
// state; what is done or done in part is shown by tests that exist.
func TestTheKinesisChecklistNamesItsProofs(t *testing.T) {
	s, doc := tree(t), read(t, "kinesis-server.md")
	states, next, counts := []string{"done", "part", "not here"}, 1, map[string]int{}
	for _, r := range rows(section(t, doc, "## The checklist")) {
		if len(r) != 4 || r[0] != strconv.Itoa(next) || !slices.Contains(states, r[2]) {
			t.Fatalf("want item %d, what it is, one of %q and its tests: %q", next, states, r)
		}
		next++
		counts[r[2]]++
		tests := testName.FindAllStringSubmatch(r[3], -1)
		for _, name := range tests {
			if !s.tests[name[1]] {
				t.Errorf("item %s names the test %s, which does not exist", r[0], name[1])
			}
		}
		rest := strings.Trim(testName.ReplaceAllString(r[3], ""), " ,;:.")
		if r[2] != "not here" && len(tests) == 0 || r[2] != "done" && rest == "" {
			t.Errorf("item %s is %s without its tests or its reason", r[0], r[2])
		}
	}
	if next-1 != 89 {
		t.Errorf("the checklist has %d items, want 89", next-1)
	}
	for _, state := range states {
		if want := fmt.Sprint(counts[state], " ", state); !regexp.MustCompile(`(?m)^Summary: .*\b` + want).MatchString(doc) {
			t.Errorf("the summary does not say %q", want)
		}
	}
}
