package archtest

import (
	"fmt"
	"go/build/constraint"
	"maps"
	"slices"
)

// The rules about imports are about what ships: tests bring the real parts
// they need, the Kinesis server of local for example.

// production yields the files of the folders, without their tests. The root
// is a folder without what is below it.
func production(t *Tree, dirs []string) []*File {
	var files []*File
	for _, f := range t.Go {
		if !f.Test && slices.ContainsFunc(dirs, func(d string) bool { return f.Dir == d || d != "." && f.Under(d) }) {
			files = append(files, f)
		}
	}
	return files
}

// forbid refuses the banned imports, and everything below them, in the folders.
func forbid(dirs []string, banned ...string) func(*Tree) []string {
	return func(t *Tree) []string {
		var found []string
		for _, f := range production(t, dirs) {
			for _, imported := range f.Imports() {
				if slices.ContainsFunc(banned, func(b string) bool { return matches(imported, b) }) {
					found = append(found, fmt.Sprintf("%s: imports %s", f.Path, imported))
				}
			}
		}
		return found
	}
}

// allow refuses packages of ours in the folders, but for those below allowed.
func allow(dirs, allowed []string) func(*Tree) []string {
	return func(t *Tree) []string {
		var found []string
		for _, f := range production(t, dirs) {
			for _, target := range ours(f) {
				if !slices.ContainsFunc(allowed, func(a string) bool { return within(target, a) }) {
					found = append(found, fmt.Sprintf("%s: imports %s", f.Path, target))
				}
			}
		}
		return found
	}
}

// siblings refuses in each folder what is neither the root, nor in the same
// folder, nor a helper of internal.
func siblings(dirs ...string) func(*Tree) []string {
	return func(t *Tree) []string {
		helpers := internalHelpers(t)
		var found []string
		for _, dir := range dirs {
			found = append(found, allow([]string{dir}, append([]string{".", dir}, helpers...))(t)...)
		}
		return found
	}
}

// internalHelpers are the packages below internal that import nothing of ours
// but the root and one another: through them nobody reaches a sibling.
func internalHelpers(t *Tree) []string {
	imports := map[string][]string{}
	for _, f := range production(t, []string{"internal"}) {
		imports[f.Dir] = append(imports[f.Dir], ours(f)...)
	}
	for dropped := true; dropped; {
		dropped = false
		for dir, targets := range imports {
			if slices.ContainsFunc(targets, func(d string) bool { _, helper := imports[d]; return d != "." && !helper }) {
				delete(imports, dir)
				dropped = true
			}
		}
	}
	return slices.Sorted(maps.Keys(imports))
}

func ours(f *File) []string {
	var dirs []string
	for _, imported := range f.Imports() {
		if dir, ok := dirOf(imported); ok {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// within: the root allows itself only, another folder what is below it too.
func within(dir, allowed string) bool {
	return dir == allowed || allowed != "." && under(dir, allowed)
}

// localOnlyBehindTag refuses imports of local outside local itself, the
// tests' folder and cmd files that a build with -tags nolocal leaves out.
func localOnlyBehindTag(t *Tree) []string {
	var found []string
	for _, f := range t.Go {
		if f.Test || f.Under("local") || f.Under("test") || f.Under("cmd") && leftOutBy(f.tags, "nolocal") {
			continue
		}
		for _, target := range ours(f) {
			if under(target, "local") {
				found = append(found, fmt.Sprintf("%s: imports %s", f.Path, target))
			}
		}
	}
	return found
}

// leftOutBy says whether setting the tag alone keeps the file out of a build
// that has everything else: "linux" does not, "linux && !nolocal" does.
func leftOutBy(tags constraint.Expr, tag string) bool {
	everything := func(string) bool { return true }
	others := func(t string) bool { return t != tag }
	return tags != nil && !tags.Eval(everything) && tags.Eval(others)
}
