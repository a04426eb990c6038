// Package docs_test keeps the documents true: what they name exists, and what
// exists and must be documented is.
package docs_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// root is the project's folder, seen from this package's.
const root = ".."

// A source is what the tests need to know of the project's Go files.
type source struct {
	files    []string            // paths from the root, without tests
	tests    map[string]bool     // "consumer.TestX", "sink/s3.TestX", "standpipe.TestX"
	literals []string            // every string of files that are not tests
	members  map[string][]string // package or type → what it declares
}

var load = sync.OnceValues(func() (*source, error) {
	s := &source{tests: map[string]bool{}, members: map[string][]string{}}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && skipped(d.Name()) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		return s.add(path)
	})
	return s, err
})

func skipped(folder string) bool {
	return strings.HasPrefix(folder, ".") || folder == "testdata" || folder == "node_modules" || folder == "bin"
}

func (s *source) add(path string) error {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	if strings.HasSuffix(rel, "_test.go") {
		dir := rel[:max(strings.LastIndexByte(rel, '/'), 0)]
		dir = cmp.Or(dir, "standpipe")
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				s.tests[dir+"."+fn.Name.Name] = true
			}
		}
		return nil
	}
	s.files = append(s.files, rel)
	ast.Inspect(f, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			if text, ok := constant(e); ok {
				s.literals = append(s.literals, text)
				return false
			}
		}
		return true
	})
	for _, d := range f.Decls {
		s.declare(f.Name.Name, d)
	}
	return nil
}

// constant is the text of a literal or of literals joined by +.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	case *ast.BinaryExpr:
		x, ok1 := constant(e.X)
		y, ok2 := constant(e.Y)
		return x + y, ok1 && ok2 && e.Op == token.ADD
	}
	return "", false
}

func (s *source) declare(pkg string, d ast.Decl) {
	put := func(of, name string) { s.members[of] = append(s.members[of], name) }
	switch d := d.(type) {
	case *ast.FuncDecl:
		put(pkg, d.Name.Name)
		if d.Recv != nil {
			t := d.Recv.List[0].Type
			if star, ok := t.(*ast.StarExpr); ok {
				t = star.X
			}
			if id, ok := t.(*ast.Ident); ok {
				put(id.Name, d.Name.Name)
			}
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					put(pkg, n.Name)
				}
			case *ast.TypeSpec:
				put(pkg, spec.Name.Name)
				var fields *ast.FieldList
				switch t := spec.Type.(type) {
				case *ast.StructType:
					fields = t.Fields
				case *ast.InterfaceType:
					fields = t.Methods
				default:
					continue
				}
				for _, f := range fields.List {
					for _, n := range f.Names {
						put(spec.Name.Name, n.Name)
					}
				}
			}
		}
	}
}

func tree(t *testing.T) *source {
	t.Helper()
	s, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.files) == 0 || len(s.tests) == 0 {
		t.Fatal("no Go files were found: every check would pass")
	}
	return s
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// section is the text between a heading and the next one of its level or above.
func section(t *testing.T, doc, heading string) string {
	t.Helper()
	_, after, ok := strings.Cut(doc, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("no heading %q", heading)
	}
	level := strings.IndexByte(heading, ' ')
	var b strings.Builder
	for line := range strings.Lines(after) {
		if n := strings.IndexByte(line, ' '); n > 0 && n <= level && strings.Trim(line[:n], "#") == "" {
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

// rows are the cells of the tables in text, heads and rules left out.
func rows(text string) (all [][]string) {
	lines := strings.Split(text, "\n")
	for n, line := range lines {
		rule := strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "|:-")
		head := n+1 < len(lines) && strings.HasPrefix(lines[n+1], "|--")
		if !strings.HasPrefix(line, "|") || rule || head {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for n := range cells {
			cells[n] = strings.TrimSpace(cells[n])
		}
		all = append(all, cells)
	}
	return all
}

var (
	caseID   = regexp.MustCompile(`^[RCLIMSPKA]\d+$`)
	testName = regexp.MustCompile("`([a-z0-9/]+\\.(?:Test|Fuzz)[A-Za-z0-9_]+)`")
)

// Each case of a group is there once, says what became of it, and a proof that
// is named exists.
func TestEveryFaultCaseHasItsProofOrItsReason(t *testing.T) {
	s, doc := tree(t), read(t, "fault-cases.md")
	verdicts := []string{"proved", "part", "open", "later", "not ours"}
	found := map[string]map[string]int{} // group → verdict → cases
	next := map[string]int{}
	for _, r := range rows(doc) {
		if !caseID.MatchString(r[0]) {
			continue
		}
		group, number := r[0][:1], r[0][1:]
		if next[group]++; number != strconv.Itoa(next[group]) {
			t.Fatalf("%s follows %s%d: a case is missing or there twice", r[0], group, next[group]-1)
		}
		if len(r) != 4 || r[1] == "" || r[3] == "" || !slices.Contains(verdicts, r[2]) {
			t.Errorf("%s: want what happens, one of %q, and the proof or the reason: %q", r[0], verdicts, r)
			continue
		}
		if found[group] == nil {
			found[group] = map[string]int{}
		}
		found[group][r[2]]++
		tests := testName.FindAllStringSubmatch(r[3], -1)
		for _, name := range tests {
			if !s.tests[name[1]] {
				t.Errorf("%s names the test %s, which does not exist", r[0], name[1])
			}
		}
		rest := strings.Trim(testName.ReplaceAllString(r[3], ""), " ,;.")
		switch {
		case (r[2] == "proved" || r[2] == "part") && len(tests) == 0:
			t.Errorf("%s is %s by no test", r[0], r[2])
		case r[2] != "proved" && rest == "":
			t.Errorf("%s is %s without a reason", r[0], r[2])
		}
	}
	summary := rows(section(t, doc, "## Summary"))
	if len(summary) != len(found) {
		t.Errorf("the summary has %d groups, the tables have %d", len(summary), len(found))
	}
	for _, r := range summary {
		if len(r) != 3+len(verdicts) {
			t.Fatalf("summary row %q", r)
		}
		want := []string{r[0], r[1], strconv.Itoa(next[r[0]])}
		for _, v := range verdicts {
			want = append(want, strconv.Itoa(found[r[0]][v]))
		}
		if !slices.Equal(r, want) {
			t.Errorf("the summary says\n\t| %s |, the tables say\n\t| %s |", strings.Join(r, " | "), strings.Join(want, " | "))
		}
	}
}

var metric = regexp.MustCompile(`^standpipe_[a-z0-9_]+$`)

func TestEveryMetricIsDocumentedAndEveryDocumentedOneExists(t *testing.T) {
	s, doc := tree(t), read(t, "operations.md")
	code := map[string]bool{}
	for _, l := range s.literals {
		if metric.MatchString(l) {
			code[l] = true
		}
	}
	table := map[string]bool{}
	for _, r := range rows(section(t, doc, "### Every metric")) {
		name := strings.Trim(r[0], "`")
		if table[name] {
			t.Errorf("%s is documented twice", name)
		}
		table[name] = true
		if !code[name] {
			t.Errorf("%s is documented and not in the code", name)
		}
		if len(r) != 4 || r[1] == "" || r[3] == "" {
			t.Errorf("%s: want name, type and unit, labels, meaning: %q", name, r)
		}
	}
	for name := range code {
		if !table[name] {
			t.Errorf("%s is in the code and not documented: add a row to docs/operations.md", name)
		}
	}
	if len(table) == 0 {
		t.Error("no metric found")
	}
	for _, name := range regexp.MustCompile(`\bstandpipe_[a-z0-9_]+`).FindAllString(doc, -1) {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !code[name] && !code[base] {
			t.Errorf("the text names %s, which does not exist", name)
		}
	}
}

// A line that begins with "> " quotes the program; … stands for what differs.
func TestQuotedMessagesAreTheProgramsOwn(t *testing.T) {
	s := tree(t)
	quotes := 0
	for line := range strings.Lines(read(t, "operations.md")) {
		quote, ok := strings.CutPrefix(strings.TrimSpace(line), "> ")
		if !ok {
			continue
		}
		quotes++
		for part := range strings.SplitSeq(quote, "…") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			if !slices.ContainsFunc(s.literals, func(l string) bool { return strings.Contains(l, part) }) {
				t.Errorf("no message of the program holds %q", part)
			}
		}
	}
	if quotes == 0 {
		t.Error("nothing is quoted")
	}
}

// mapped are the folders whose every file has a line in the file map.
var mapped = []string{"delivery/", "consumer/", "sink/", "checkpoint/", "jobs/", "redrive/"}

func TestFileMapHasEachFileOnce(t *testing.T) {
	s := tree(t)
	seen := map[string]bool{}
	for _, r := range rows(section(t, read(t, "DESIGN.md"), "## File map")) {
		name := strings.Trim(r[0], "`")
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("%s is in the file map and not in the tree", name)
		}
		if len(r) != 2 || r[1] == "" {
			t.Errorf("%s: want a file and what it holds: %q", name, r)
		}
	}
	for _, f := range s.files {
		in := slices.ContainsFunc(mapped, func(p string) bool { return strings.HasPrefix(f, p) })
		if in && !seen[f] {
			t.Errorf("%s is not in the file map: add a line to docs/DESIGN.md", f)
		}
	}
}

var reference = regexp.MustCompile("`([a-zA-Z0-9]+)\\.([a-zA-Z0-9]+)(?:\\(\\))?`")

// A name such as `shard.take` or `delivery.Worker` has to be one.
func TestNamesOfTheDesignExist(t *testing.T) {
	s := tree(t)
	checked := 0
	for _, name := range []string{"DESIGN.md", "operations.md", "fault-cases.md"} {
		for _, m := range reference.FindAllStringSubmatch(read(t, name), -1) {
			of, ok := s.members[m[1]]
			if !ok || slices.Contains([]string{"go", "md", "db", "json", "yaml"}, m[2]) || strings.HasPrefix(m[2], "Test") || strings.HasPrefix(m[2], "Fuzz") {
				continue
			}
			checked++
			if !slices.Contains(of, m[2]) {
				t.Errorf("%s names %s, which does not exist", name, m[0])
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d names were checked", checked)
	}
}

var (
	link  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fence = regexp.MustCompile("(?ms)^```.*?^```")
	code  = regexp.MustCompile("`[^`\n]*`")
)

func TestEveryRelativeLinkResolves(t *testing.T) {
	links := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && skipped(d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".md"):
			return nil
		}
		text := code.ReplaceAllString(fence.ReplaceAllString(read(t, path), ""), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], ":") {
				continue // of another place
			}
			links++
			if err := resolve(path, m[1]); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if links == 0 {
		t.Error("no link found")
	}
}

func resolve(from, target string) error {
	file, anchor, _ := strings.Cut(target, "#")
	to := from
	if file != "" {
		to = filepath.Join(filepath.Dir(from), file)
	}
	info, err := os.Stat(to)
	if err != nil {
		return fmt.Errorf("the link %s leads nowhere", target)
	}
	if anchor == "" || info.IsDir() {
		return nil
	}
	b, err := os.ReadFile(to)
	if err != nil {
		return err
	}
	for line := range strings.Lines(fence.ReplaceAllString(string(b), "")) {
		if strings.HasPrefix(line, "#") && slug(strings.TrimLeft(line, "#")) == anchor {
			return nil
		}
	}
	return fmt.Errorf("the link %s names a heading that is not there", target)
}

// slug is the anchor that GitHub makes of a heading.
func slug(heading string) string {
	s := strings.ToLower(strings.TrimSpace(heading))
	s = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(s, "")
	return strings.ReplaceAll(s, " ", "-")
}
