package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Module is the import path of the root package.
const Module = "github.com/standpipe/standpipe"

// A Tree is every file of a source tree that people wrote.
type Tree struct {
	Go   []*File
	Text []Text
}

// A Text is any file that is not binary, Go or not. Path has slashes and
// begins at the root of the tree.
type Text struct {
	Path string
	Body []byte
}

// A File is one Go file.
type File struct {
	Path string
	// Dir is the folder, "." for the root.
	Dir  string
	Test bool
	AST  *ast.File

	fset    *token.FileSet
	imports map[string]string // local name to import path
	tags    constraint.Expr   // nil without a build line
}

// foreign are folders that hold other people's files, or inputs of tests.
var foreign = map[string]bool{".git": true, "node_modules": true, "vendor": true, "testdata": true, "bin": true, ".standpipe": true, ".terraform": true}

// Load reads the tree under root, without foreign folders and files over 1 MiB.
func Load(root string) (*Tree, error) {
	t := &Tree{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != root && foreign[d.Name()] {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil // .git is a file in a linked work tree
		}
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		body, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return t.add(filepath.ToSlash(rel), body)
	})
	return t, err
}

func (t *Tree) add(name string, body []byte) error {
	if bytes.IndexByte(body[:min(len(body), 8000)], 0) >= 0 {
		return nil
	}
	t.Text = append(t.Text, Text{Path: name, Body: body})
	if path.Ext(name) != ".go" {
		return nil
	}
	f := &File{Path: name, Dir: path.Dir(name), Test: strings.HasSuffix(name, "_test.go"), fset: token.NewFileSet(), imports: map[string]string{}}
	var err error
	if f.AST, err = parser.ParseFile(f.fset, name, body, parser.ParseComments); err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	if f.tags, err = buildLine(f.AST); err != nil {
		return fmt.Errorf("build line of %s: %w", name, err)
	}
	for _, spec := range f.AST.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("import in %s: %w", name, err)
		}
		f.imports[localName(spec, target)] = target
	}
	t.Go = append(t.Go, f)
	return nil
}

func buildLine(file *ast.File) (constraint.Expr, error) {
	for _, group := range file.Comments {
		for _, c := range group.List {
			if c.Pos() < file.Package && constraint.IsGoBuild(c.Text) {
				return constraint.Parse(c.Text)
			}
		}
	}
	return nil, nil
}

// localName is the name an import is used by. For an unnamed import of a path
// that ends in a major version it is the element before, as in math/rand/v2.
// Blank imports keep their path, so that several do not hide one another.
func localName(spec *ast.ImportSpec, target string) string {
	if spec.Name != nil && spec.Name.Name != "_" && spec.Name.Name != "." {
		return spec.Name.Name
	}
	if spec.Name != nil {
		return spec.Name.Name + " " + target
	}
	base := path.Base(target)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(target))
	}
	return base
}

// Imports yields the import paths of a file.
func (f *File) Imports() []string {
	paths := make([]string, 0, len(f.imports))
	for _, p := range f.imports {
		paths = append(paths, p)
	}
	return paths
}

// Under says whether the file is in the folder or below it.
func (f *File) Under(dir string) bool { return under(f.Dir, dir) }

func under(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

// call returns the import path and the name if the expression is a name of an
// imported package, such as time.Now.
func (f *File) call(e ast.Expr) (pkg, name string) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok || id.Obj != nil { // a local variable of the package's name
		return "", ""
	}
	return f.imports[id.Name], sel.Sel.Name
}

func (f *File) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.Path, f.fset.Position(pos).Line)
}

// dirOf is the folder of one of our packages; ok is false for others'.
func dirOf(importPath string) (dir string, ok bool) {
	if importPath == Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, Module+"/")
}
