package jobplace

import (
	"strings"
	"testing"
)

func TestAPlaceIsAFolderOrAFleet(t *testing.T) {
	for text, want := range map[string]Place{
		"./.standpipe/jobs":         {Folder: "./.standpipe/jobs", shown: "./.standpipe/jobs"},
		"/var/lib/x y":              {Folder: "/var/lib/x y", shown: "/var/lib/x y"},
		"redis://h:6379/0":          {Redis: "redis://h:6379/0", shown: "redis://h:6379/0"},
		"rediss://h":                {Redis: "rediss://h", shown: "rediss://h"},
		"redis://:pw@h/2?table=abc": {Redis: "redis://:pw@h/2", Table: "abc", Secret: true, shown: "redis://h/2?table=abc"},
		"redis://u:p%40w@[::1]:1/0?create=true&table=a.b-c_1": {
			Redis: "redis://u:p%40w@[::1]:1/0", Table: "a.b-c_1", Create: true, Secret: true, shown: "redis://[::1]:1/0?create=true&table=a.b-c_1",
		},
		"redis://h/0?create=false": {Redis: "redis://h/0", shown: "redis://h/0?create=false"},
	} {
		got, err := Parse(text)
		if err != nil || got != want || got.Fleet() != (want.Redis != "") || strings.Contains(got.String(), "pw") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestWhatIsNoPlaceSaysWhatIsAndNoPassword(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "redis://HOST:6379/0",
		"mysql://u:secret@h/0":          "neither a folder nor redis://",
		"redis:h:6379":                  "redis://HOST:6379/0",
		"redis://:secret@/0":            "redis://HOST:6379/0",
		"redis://:secret%@h/0":          "%XX",
		"redis://:secret@h/x":           "number of a database",
		"redis://:secret@h/-1":          "number of a database",
		"redis://:secret@h/0?table=a/b": "table=",
		"redis://:secret@h/0?create=1":  "true or false",
		"redis://:secret@h/0?tabel=abc": `"tabel"`,
		"redis://:secret@h/0#x":         "redis://HOST:6379/0",
	} {
		if p, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a", "redis://h:6379/0", "rediss://u:p@h/1?table=abc&create=true", "redis://%zz", "redis:///"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		if p.Fleet() == (p.Folder != "") {
			t.Errorf("%+v is neither or both", p)
		}
		again, err := Parse(p.String())
		if err != nil || again.Secret || again.Table != p.Table || again.Create != p.Create || again.String() != p.String() {
			t.Errorf("%q is shown as %q, which is %+v, %v", text, p, again, err)
		}
	})
}
