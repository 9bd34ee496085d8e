package docs

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	gopath "path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/imports"
	"github.com/vittool/vittool/internal/must"
)

// TestComments: a doc comment begins with the name that it documents, and its links resolve.
func TestComments(t *testing.T) {
	t.Chdir("..")
	packages := must.Get(imports.Load(must.Get(os.Getwd())(t)))(t)
	for _, line := range checkComments(packages) {
		t.Error(line)
	}
}

// TestCommentsCanFail: a comment of another name and each kind of broken link is reported.
func TestCommentsCanFail(t *testing.T) {
	const other = "package b\ntype T struct{ F int }\nfunc (T) M() {}\n"
	tests := []struct{ name, src, want string }{
		{"own name", "// F is.\nfunc F() {}", ""},
		{"article", "// A T is.\ntype T int", ""},
		{"group", "// The kinds.\nconst (\n A = 1\n B = 2\n)", ""},
		{"shape", "// F takes [B, D] and [D], [][]float32.\nfunc F() {}", ""},
		{"links", "// F calls [T], [T.M], [b.T.M] and [fmt.Print].\nfunc F() {}\ntype T int\nfunc (T) M() {}", ""},
		{"older name", "// G is.\nfunc F() {}", `documents F and begins with "G"`},
		{"method", "// N is.\nfunc (T) M() {}\ntype T int", `documents M and begins with "N"`},
		{"method of an interface", "type I interface {\n // N is.\n M()\n}", `documents M and begins with "N"`},
		{"type in a group", "type (\n // U is.\n T int\n)", `documents T and begins with "U"`},
		{"property of a test", "// Sums are exact.\nfunc TestF() {}", ""},
		{"older name of a test", "// TestG checks.\nfunc TestF() {}", `documents TestF and begins with "TestG"`},
		{"value", "// u is.\nvar v = 1", `documents v and begins with "u"`},
		{"no symbol", "// F calls [Gone].\nfunc F() {}", "[Gone]"},
		{"no method", "// F calls [T.Gone].\nfunc F() {}\ntype T int", "[T.Gone]"},
		{"no symbol of a package", "// F calls [b.Gone].\nfunc F() {}", "[b.Gone]"},
		{"no package", "// F calls [c.Thing].\nfunc F() {}", "[c.Thing]"},
		{"in a function", "// F is.\nfunc F() {\n // as [Gone] does\n}", "[Gone]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src := "package a\nimport \"fmt\"\nimport \"" + imports.Module + "/b\"\n" + test.src
			got := strings.Join(checkComments([]imports.Package{
				{Path: "a", Files: []imports.File{must.Get(imports.Parse("a/a.go", []byte(src)))(t)}},
				{Path: "b", Files: []imports.File{must.Get(imports.Parse("b/b.go", []byte(other)))(t)}},
			}), "\n")
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// checkComments returns one line for each doc comment that begins with another name and for each
// link that names no symbol of this module.
func checkComments(packages []imports.Package) []string {
	symbols := map[string]map[string]bool{} // of each package, a test package's among them
	for _, p := range packages {
		symbols[p.Path] = map[string]bool{}
		for _, f := range p.Files {
			addSymbols(symbols[p.Path], f.Syntax)
		}
	}
	var faults []string
	for _, p := range packages {
		for _, f := range p.Files {
			if ast.IsGenerated(f.Syntax) {
				continue
			}
			at := func(pos token.Pos) string { return fmt.Sprintf("%s:%d", f.Name, f.Set.Position(pos).Line) }
			for _, d := range f.Syntax.Decls {
				name, doc := documented(d)
				if name != "" {
					faults = append(faults, checkName(at, name, doc)...)
				}
				if g, ok := d.(*ast.GenDecl); ok && g.Lparen.IsValid() {
					for _, s := range g.Specs {
						if s, ok := s.(*ast.TypeSpec); ok {
							faults = append(faults, checkName(at, s.Name.Name, s.Doc)...)
						}
					}
				}
			}
			ast.Inspect(f.Syntax, func(n ast.Node) bool {
				if i, ok := n.(*ast.InterfaceType); ok {
					for _, m := range i.Methods.List {
						if len(m.Names) == 1 {
							faults = append(faults, checkName(at, m.Names[0].Name, m.Doc)...)
						}
					}
				}
				return true
			})
			for _, c := range f.Syntax.Comments {
				faults = append(faults, checkLinks(at, symbols, p.Path, f, c)...)
			}
		}
	}
	return faults
}

// addSymbols adds the names that a file declares at its top level, its methods and fields as
// Type.Name.
func addSymbols(names map[string]bool, f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names[receiver(d)+d.Name.Name] = true
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					names[s.Name.Name] = true
					for _, member := range members(s.Type) {
						names[s.Name.Name+"."+member] = true
						names[member] = true // of a shape
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						names[n.Name] = true
					}
				}
			}
		}
	}
}

// receiver returns the type of a method with a dot, "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name + "."
		default:
			return ""
		}
	}
}

// members returns the fields of a struct or the methods of an interface.
func members(e ast.Expr) []string {
	var list *ast.FieldList
	switch e := e.(type) {
	case *ast.StructType:
		list = e.Fields
	case *ast.InterfaceType:
		list = e.Methods
	default:
		return nil
	}
	var names []string
	for _, f := range list.List {
		for _, n := range f.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

// documented returns the name and the doc comment of a declaration of one name, "" for others.
func documented(d ast.Decl) (string, *ast.CommentGroup) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Name.Name, d.Doc
	case *ast.GenDecl:
		if d.Lparen.IsValid() || len(d.Specs) != 1 {
			return "", nil
		}
		switch s := d.Specs[0].(type) {
		case *ast.TypeSpec:
			return s.Name.Name, d.Doc
		case *ast.ValueSpec:
			if len(s.Names) == 1 && s.Names[0].Name != "_" {
				return s.Names[0].Name, d.Doc
			}
		}
	}
	return "", nil
}

// word is a Go name or a number.
var word = regexp.MustCompile(`[\pL\pN_]+`)

// testName matches the name of a test, whose comment may state the property that it checks.
var testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)`)

// checkName reports a doc comment that begins with another word than name, an article before it
// aside.
func checkName(at func(token.Pos) string, name string, doc *ast.CommentGroup) []string {
	words := word.FindAllString(doc.Text(), 2)
	if len(words) == 0 {
		return nil
	}
	first := words[0]
	if slices.Contains([]string{"A", "An", "The"}, first) && len(words) == 2 {
		first = words[1]
	}
	if first == name || testName.MatchString(name) && !testName.MatchString(first) {
		return nil
	}
	return []string{fmt.Sprintf("%s: documents %s and begins with %q", at(doc.Pos()), name, first)}
}

// docLink matches a doc link in brackets, of a name, a member or either one of a package. One
// letter, as in [D], is a shape.
var docLink = regexp.MustCompile(`(?:^|[\s(])\[\*?((?:[a-z]\w*\.)?(?:[A-Z]\w*\.[A-Z]\w*|[A-Z]\w*[a-z0-9_]\w*))\](?:$|[\s).,:;'])`)

// checkLinks reports the links of a comment that name no symbol of the package or of one that the
// file imports.
func checkLinks(at func(token.Pos) string, symbols map[string]map[string]bool, pkg string, f imports.File, c *ast.CommentGroup) []string {
	var faults []string
	for _, m := range docLink.FindAllStringSubmatch(c.Text(), -1) {
		in, name := pkg, m[1]
		if first, rest, _ := strings.Cut(m[1], "."); first[0] >= 'a' {
			name, in = rest, imported(f.Syntax, first)
			if in == "" && gopath.Base(pkg) == first {
				in = pkg
			}
			inner, ours := strings.CutPrefix(in, imports.Module+"/")
			if in != "" && !ours && in != pkg {
				continue // of another module
			}
			in = inner
		}
		if !symbols[in][name] {
			faults = append(faults, fmt.Sprintf("%s: the link [%s] names nothing", at(c.Pos()), m[1]))
		}
	}
	return faults
}

// imported returns the path that a file imports under a name, "" for none.
func imported(f *ast.File, name string) string {
	for _, i := range f.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		if i.Name != nil && i.Name.Name == name || i.Name == nil && gopath.Base(p) == name {
			return p
		}
	}
	return ""
}
