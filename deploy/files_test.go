package deploy

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/standpipe/standpipe/config"
)

func readText(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// sample is the configuration that every other file here is made for.
func sample(t *testing.T) *config.Config {
	t.Helper()
	c, err := config.Load("standpipe.yaml")
	if err != nil {
		t.Fatalf("\n%v", err)
	}
	return c
}

func TestSampleConfigurationLoadsWithoutWarnings(t *testing.T) {
	if c := sample(t); len(c.Warnings) > 0 {
		t.Errorf("\n%v", c.Warnings)
	}
}

// A member is how an API spells the JSON member for a Go field.
type member func(field string) string

func lowerCamel(field string) string {
	return string(unicode.ToLower(rune(field[0]))) + field[1:]
}

func asIs(field string) string { return field }

// decodeStrict decodes a file into an SDK type and refuses members that the type
// does not have or that are spelled differently: encoding/json alone would take
// "Memory" for "memory", and the API would not.
func decodeStrict(t *testing.T, name string, into any, spelled member) {
	t.Helper()
	text := readText(t, name)
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if d.More() {
		t.Fatalf("%s: more than one document", name)
	}
	var raw any
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range misspelled(raw, reflect.TypeOf(into).Elem(), spelled, name) {
		t.Error(wrong)
	}
}

// misspelled lists the members of raw that are not spelled as in the API.
func misspelled(raw any, t reflect.Type, spelled member, path string) (wrong []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := raw.(type) {
	case []any:
		for _, entry := range v {
			wrong = append(wrong, misspelled(entry, t.Elem(), spelled, path+"[]")...)
		}
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return nil
		}
		for key, value := range v {
			field, ok := t.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, key) })
			if !ok || spelled(field.Name) != key {
				wrong = append(wrong, path+"."+key+" is not spelled as in the API")
				continue
			}
			wrong = append(wrong, misspelled(value, field.Type, spelled, path+"."+key)...)
		}
	}
	return wrong
}

func TestDecodeStrictSeesASpellingThatOnlyGoAccepts(t *testing.T) {
	type inner struct{ StopTimeout *int32 }
	type outer struct{ Containers []inner }
	var raw any
	d := json.NewDecoder(bytes.NewReader([]byte(`{"containers":[{"stopTimeout":1},{"StopTimeout":1},{"stoptimeout":1}]}`)))
	if err := d.Decode(&raw); err != nil {
		t.Fatal(err)
	}
	if got := misspelled(raw, reflect.TypeFor[outer](), lowerCamel, ""); len(got) != 2 {
		t.Errorf("found %q, want two", got)
	}
}

// No file here may carry what only one account should see.
func TestOnlyPlaceholdersAreNamed(t *testing.T) {
	for _, name := range []string{"ecs/task-definition.json", "iam/task-role.json", "iam/execution-role.json", "iam/trust-policy.json", "standpipe.yaml"} {
		text := readText(t, name)
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsDigit(r) }) {
			if len(word) == 12 && word != "000000000000" {
				t.Errorf("%s names the account %s", name, word)
			}
		}
	}
}

// The README names every file, and every file it names is there.
func TestReadmeNamesEveryFile(t *testing.T) {
	readme := readText(t, "README.md")
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, ".go") || name == "README.md" {
			return err
		}
		if !strings.Contains(readme, name) {
			t.Errorf("%s is not in README.md", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?:file://|`)((?:iam|ecs|systemd)/[a-zA-Z0-9./-]+|s3-[a-z.]+)").FindAllStringSubmatch(readme, -1) {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("README.md names %s: %v", m[1], err)
		}
	}
}
