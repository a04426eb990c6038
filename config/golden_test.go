package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files and reference.md")

// testEnv is the environment of every golden file.
func testEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"STREAM": "class-stream", "SIZE": "64", "LIMIT": "512MiB", "WORD": "many",
		"INJECTION": "x\nStandpipe: {Delivery: at-least-once}", "NESTED": "${STREAM}",
	}[name]
	return v, ok
}

// testValidators stand in for the owners of the prefix grammar and the list of
// time zones, with three of Firehose's own messages.
var testValidators = Validators{
	Prefix: func(prefix, errorPrefix string) []string {
		var all []string
		if strings.Contains(prefix, "!{") && errorPrefix == "" {
			all = append(all, "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions")
		}
		if strings.Contains(prefix, "!{timestamp:b}") {
			all = append(all, "Invalid conversion character used in the value of the expression in Prefix")
		}
		if strings.Contains(errorPrefix, "!{") && !strings.Contains(errorPrefix, "!{firehose:error-output-type}") {
			all = append(all, "ErrorOutputPrefix must contain at least one occurrence of !{firehose:error-output-type}")
		}
		return all
	},
	TimeZone: func(name string) error {
		if name == "Asia/Kolkata" || name == "Mars/Phobos" {
			return errors.New("Provided custom time zone is not supported. Custom time zones are limited to UTC and non-3-letter IANA time zones.")
		}
		return nil
	},
}

// golden compares got with the file beside name, or rewrites it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v; run go test ./config -update and read what it wrote", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func files(t *testing.T, pattern string, least int) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) < least {
		t.Fatalf("%d files match %s (%v), want at least %d", len(names), pattern, err, least)
	}
	return names
}

func readTestFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A file that is wrong says every mistake, where it is and what to write instead.
func TestBadFilesSayWhatIsWrongAndWhatToWrite(t *testing.T) {
	for _, name := range files(t, "*.bad.yml", 40) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			c, err := testValidators.Parse(filepath.Base(name), readTestFile(t, name), testEnv)
			if err == nil {
				t.Fatal("the file was accepted")
			}
			if c != nil {
				t.Error("a configuration was returned together with problems")
			}
			golden(t, strings.TrimSuffix(name, ".yml")+".txt", err.Error()+"\n")
		})
	}
}

// A file that is right is printed with its defaults and its warnings.
func TestGoodFilesArePrintedInFull(t *testing.T) {
	for _, name := range files(t, "*.good.yml", 10) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			c, err := testValidators.Parse(filepath.Base(name), readTestFile(t, name), testEnv)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			b.WriteString(c.String())
			if len(c.Warnings) > 0 {
				b.WriteString("\n# warnings\n")
				if err := c.Warnings.Render(&b); err != nil {
					t.Fatal(err)
				}
			}
			golden(t, strings.TrimSuffix(name, ".yml")+".txt", b.String())
		})
	}
}
