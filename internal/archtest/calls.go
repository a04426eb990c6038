package archtest

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
)

// pure refuses clocks and goroutines in the folders, sub-folders apart.
func pure(dirs ...string) func(*Tree) []string {
	clock := map[string]bool{"Now": true, "Since": true, "Until": true, "After": true, "AfterFunc": true, "NewTimer": true, "NewTicker": true, "Tick": true, "Sleep": true}
	return func(t *Tree) []string {
		var found []string
		for _, f := range t.Go {
			if f.Test || !slices.Contains(dirs, f.Dir) {
				continue
			}
			ast.Inspect(f.AST, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					found = append(found, f.at(n.Pos())+": starts a goroutine")
				case *ast.SelectorExpr:
					if pkg, name := f.call(n); pkg == "time" && clock[name] {
						found = append(found, fmt.Sprintf("%s: uses time.%s", f.at(n.Pos()), name))
					}
				}
				return true
			})
		}
		return found
	}
}

// noSleep refuses time.Sleep in production, and in tests outside a bubble: a
// literal given to synctest.Test or to a helper that calls it. Another helper
// of a test package with bubbles may be called from one, which syntax cannot
// tell: it is given the benefit of the doubt.
func noSleep(t *Tree) []string {
	openers := bubbleOpeners(t)
	var found []string
	for _, f := range t.Go {
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if ok && f.Test && openers[f.Dir] != nil && !isTest(fn) {
				continue
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if f.Test && (f.opensBubble(n) || openers[f.Dir][called(n)]) {
						return false
					}
				case *ast.SelectorExpr:
					if pkg, name := f.call(n); pkg == "time" && name == "Sleep" {
						found = append(found, f.at(n.Pos())+": sleeps")
					}
				}
				return true
			})
		}
	}
	return found
}

// bubbleOpeners are, by folder, the helpers of tests that call synctest.Test.
// A folder whose tests use no bubbles is absent.
func bubbleOpeners(t *Tree) map[string]map[string]bool {
	openers := map[string]map[string]bool{}
	for _, f := range t.Go {
		if !f.Test || !slices.Contains(f.Imports(), "testing/synctest") {
			continue
		}
		if openers[f.Dir] == nil {
			openers[f.Dir] = map[string]bool{}
		}
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || isTest(fn) {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && f.opensBubble(call) {
					openers[f.Dir][fn.Name.Name] = true
				}
				return true
			})
		}
	}
	return openers
}

func (f *File) opensBubble(c *ast.CallExpr) bool {
	pkg, name := f.call(c.Fun)
	return pkg == "testing/synctest" && name == "Test"
}

// called is the name of a function of the same package, or empty.
func called(c *ast.CallExpr) string {
	if id, ok := c.Fun.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

func isTest(fn *ast.FuncDecl) bool {
	return fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz") || strings.HasPrefix(fn.Name.Name, "Benchmark"))
}

// noGlobalRandom refuses everything of math/rand but constructors and types.
func noGlobalRandom(t *Tree) []string {
	types := map[string]bool{"Rand": true, "Source": true, "Source64": true, "PCG": true, "ChaCha8": true, "Zipf": true}
	return banned(t, func(f *File, pkg, name string) bool {
		return (pkg == "math/rand" || pkg == "math/rand/v2") && !strings.HasPrefix(name, "New") && !types[name]
	})
}

// noPrint refuses fmt.Print, Printf and Println outside cmd. Examples print
// because their output is compared.
func noPrint(t *Tree) []string {
	return banned(t, func(f *File, pkg, name string) bool {
		example := f.Test && strings.HasPrefix(path.Base(f.Path), "example")
		return pkg == "fmt" && (name == "Print" || name == "Printf" || name == "Println") && !f.Under("cmd") && !example
	})
}

func banned(t *Tree, is func(f *File, pkg, name string) bool) []string {
	var found []string
	for _, f := range t.Go {
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, name := f.call(sel); pkg != "" && is(f, pkg, name) {
					found = append(found, fmt.Sprintf("%s: uses %s.%s", f.at(sel.Pos()), pkg, name))
				}
			}
			return true
		})
	}
	return found
}

// noSilentSkip refuses Skip, Skipf and SkipNow of a *testing.T in a test
// function. Fuzz targets and rapid properties skip inputs, not themselves.
func noSilentSkip(t *Tree) []string {
	var found []string
	for _, f := range t.Go {
		for _, decl := range f.AST.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && f.Test && fn.Body != nil && !strings.HasPrefix(fn.Name.Name, "Fuzz") {
				found = append(found, skips(f, nil, fn.Type, fn.Body)...)
			}
		}
	}
	return found
}

// skips looks through a function and the literals in it. A literal's
// parameters hide the outer ones of the same name: rapid's t is not testing's.
func skips(f *File, outer map[string]bool, typ *ast.FuncType, body *ast.BlockStmt) []string {
	names := testers(f, outer, typ)
	var found []string
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			if n.Type.Params.NumFields() > 0 {
				found = append(found, skips(f, names, n.Type, n.Body)...)
				return false
			}
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(sel.Sel.Name, "Skip") {
				return true
			}
			if id, ok := sel.X.(*ast.Ident); ok && names[id.Name] {
				found = append(found, fmt.Sprintf("%s: calls %s.%s", f.at(n.Pos()), id.Name, sel.Sel.Name))
			}
		}
		return true
	})
	return found
}

// testers are the names of every *testing.T, *testing.B and testing.TB in reach.
func testers(f *File, outer map[string]bool, typ *ast.FuncType) map[string]bool {
	names := maps.Clone(outer)
	if names == nil {
		names = map[string]bool{}
	}
	for _, field := range typ.Params.List {
		kind := field.Type
		if star, ok := kind.(*ast.StarExpr); ok {
			kind = star.X
		}
		pkg, name := f.call(kind)
		for _, id := range field.Names {
			names[id.Name] = pkg == "testing" && (name == "T" || name == "B" || name == "TB")
		}
	}
	return names
}
