// Package imports holds and checks the rules of imports between the packages of this module.
//
// Arrows point down only:
//
//	cmd → train, tasks, bench → plugins, objectives, runs, data, configs → vit, cnn → backbone → core → core/internal/f32
//
// Four rules matter most. Only core imports gorgonia, so that the engine can be replaced. Only
// backbone/families imports a family of networks, so that adding one is its package and a line
// there. An objective imports the plugin SDK and nothing else of this module, so that a built-in
// objective has the same means as one of a third party. And no code outside the folder of an
// objective compares with its name, so that adding one edits no other package.
package imports

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the path of this module.
const Module = "github.com/vittool/vittool"

// A Package is a package of this module with the imports of its files, of every platform and of its
// tests.
type Package struct {
	Path  string // relative to the module, "." for its root
	Files []File
}

// A File is one parsed Go file.
type File struct {
	Name    string // relative to the module
	Test    bool
	Imports []string
	Syntax  *ast.File
	Set     *token.FileSet
}

// rule is an entry of below.
type rule struct {
	pkg  string
	may  []string
	test []string // further ones for its tests
}

// below lists the packages of this module that a package, or all under a folder ("x/..."), may
// import. The first entry that matches counts.
var below = append([]rule{
	{pkg: "internal/prng", may: nil},
	{pkg: "internal/atomicfile", may: nil},
	{pkg: "internal/regularfile", may: nil},
	{pkg: "tensor", may: []string{"internal/atomicfile", "internal/regularfile"}},
	{pkg: "core/internal/f32", may: nil},
	{pkg: "internal/edit", may: nil},
	{pkg: "core/...", may: []string{"core/...", "tensor", "internal/prng"}},
	{pkg: "backbone/families", may: append([]string{"backbone"}, networks...), test: []string{"..."}},
	{pkg: "backbone/...", may: append([]string{"backbone/transformer", "internal/edit"}, engine...)},
	{pkg: "runs", may: leaves, test: engine},
	{pkg: "data/...", may: append([]string{"data/...", "runs"}, leaves...)},
	{pkg: "configs", may: append([]string{"backbone/...", "internal/edit", "data/...", "runs"}, engine...), test: []string{"objectives"}},
	{pkg: "plugins/pb", may: nil},
	{pkg: "plugins/schema", may: nil},
	{pkg: "plugins/sdk", may: []string{"plugins/pb", "plugins/schema", "plugins/plan", "tensor"}},
	{pkg: "plugins/plan", may: []string{"plugins/pb", "internal/edit"}, test: append([]string{"plugins/...", "objectives/..."}, engine...)},
	{pkg: "plugins/program/programtest", may: []string{"..."}},                 // test support
	{pkg: "plugins/plugintest", may: []string{"plugins/sdk", "internal/must"}}, // test support
	{pkg: "plugins/launch", may: []string{"plugins/...", "configs", "backbone"}},
	{pkg: "plugins/program", may: append([]string{"plugins/plan", "runs", "backbone", "backbone/transformer", "internal/edit"}, engine...), test: []string{"plugins/...", "objectives/...", "data/..."}},
	{pkg: "plugins/...", may: append([]string{"plugins/...", "objectives", "backbone/..."}, engine...), test: []string{"objectives/...", "data/..."}},
	{pkg: "objectives", may: []string{"objectives/...", "plugins/sdk"}, test: []string{"plugins/..."}},
	{pkg: "objectives/...", may: []string{"plugins/sdk", "objectives/tokenizer"}, test: append([]string{"plugins/...", "runs"}, engine...)},
	{pkg: "train/...", may: append([]string{"train/...", "plugins/...", "objectives", "runs", "data/...", "configs", "backbone/..."}, engine...), test: []string{"objectives/..."}},
	{pkg: "tasks/...", may: append([]string{"tasks/...", "plugins/...", "objectives", "runs", "data/...", "configs", "backbone/..."}, engine...), test: []string{"objectives/..."}},
	{pkg: "bench/...", may: append([]string{"train/...", "tasks/...", "plugins/...", "objectives", "runs", "data/...", "configs", "backbone/..."}, engine...), test: []string{"objectives/..."}},
	{pkg: "cmd/...", may: []string{"..."}},
	{pkg: "faults", may: nil, test: []string{"..."}},
	{pkg: "docs", may: nil},
	{pkg: "internal/...", may: []string{"tensor", "internal/..."}}, // test support
}, familyRules()...)

// networks are the families of networks. Tests of other packages may use them as an example.
var networks = []string{"vit", "cnn"}

// familyRules are the rules of the families.
func familyRules() []rule {
	var rules []rule
	for _, n := range networks {
		rules = append(rules, rule{pkg: n, may: append([]string{"backbone", "backbone/transformer"}, engine...), test: []string{"plugins/program/programtest"}})
	}
	return rules
}

// leaves are packages that import no gorgonia; engine adds core and the packages below it.
var (
	leaves = []string{"tensor", "internal/prng", "internal/atomicfile"}
	engine = append([]string{"core/..."}, leaves...)
)

// outside lists third-party modules that only the named folders may import.
var outside = []struct {
	module string
	only   []string
	why    string
}{
	{Module + "/plugins/pb", protocol, "the SDK, the host and plugins/plan alone see messages: others use Go types, not the protocol's messages"},
	{"gorgonia.org/", []string{"core"}, "the graph library is wrapped once, in core"},
	{"github.com/hashicorp/go-plugin", []string{"plugins/sdk", "plugins/host", "plugins/check"}, "the plugin transport is the business of the SDK and of its host"},
	{"github.com/spf13/viper", []string{"configs"}, "configuration is read in one place"},
	{"github.com/spf13/cobra", []string{"cmd/..."}, "the command line is the business of the commands"},
	{"github.com/nfnt/resize", []string{"data/...", "tasks/...", "train/..."}, "nfnt/resize scales pictures for people, nothing else"},
}

// protocol lists the packages that may import the messages of the protocol, in tests too. All others
// speak the Go types of the SDK and of the host.
var protocol = []string{"plugins/pb", "plugins/plan", "plugins/sdk", "plugins/host"}

// matches reports whether the package p falls under pattern: a package or, ending in "/...", a
// folder with all below it.
func matches(pattern, p string) bool {
	if pattern == "..." {
		return true
	}
	if folder, ok := strings.CutSuffix(pattern, "/..."); ok {
		return p == folder || strings.HasPrefix(p, folder+"/")
	}
	return p == pattern
}

// matchesAny reports whether p falls under any of the patterns.
func matchesAny(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(s string) bool { return matches(s, p) })
}

// Check returns one line for each import that breaks a rule.
func Check(packages []Package) []string {
	var broken []string
	for _, p := range packages {
		at := slices.IndexFunc(below, func(b rule) bool { return matches(b.pkg, p.Path) })
		if at < 0 && p.Path != "." {
			broken = append(broken, fmt.Sprintf("%s: no rule for the imports of this package: add one to internal/imports", p.Path))
			continue
		}
		for _, f := range p.Files {
			for _, imported := range f.Imports {
				if why := checkImport(p, f, imported, at); why != "" {
					broken = append(broken, fmt.Sprintf("%s imports %s: %s", f.Name, imported, why))
				}
			}
		}
	}
	return broken
}

// checkImport returns the reason why file f of package p may not import a path, "" if it may. at is
// the index of the rule of p.
func checkImport(p Package, f File, imported string, at int) string {
	for _, o := range outside {
		if strings.HasPrefix(imported, o.module) && !matchesAny(o.only, p.Path) {
			return o.why
		}
	}
	inner, ours := strings.CutPrefix(imported, Module+"/")
	if !ours || inner == p.Path || at < 0 {
		return "" // another module, or an external test of the package itself
	}
	b := below[at]
	if why := behindList(p, f, inner); why != "" {
		return why
	}
	if matchesAny(b.may, inner) || f.Test && (matchesAny(b.test, inner) || len(b.test) > 0 && slices.Contains(networks, inner) || matches("internal/...", inner)) {
		return ""
	}
	if len(b.may) == 0 {
		return fmt.Sprintf("%s imports nothing of this module", b.pkg)
	}
	return fmt.Sprintf("%s may import %s only", b.pkg, strings.Join(b.may, ", "))
}

// behindList returns the reason why file f of package p may not import inner, a package that others
// see through the one that lists or wraps it.
func behindList(p Package, f File, inner string) string {
	command := matches("cmd/...", p.Path) && !f.Test
	switch {
	case inner == "core/internal/f32" && !matches("core/...", p.Path):
		return "only core sees the kernels"
	case command && slices.Contains(networks, inner):
		return "only backbone/families sees a family of networks"
	case command && matches("objectives/...", inner) && inner != "objectives":
		return "commands see the list in package objectives alone"
	}
	return ""
}

// CheckNames returns one line for each comparison with the name of an objective outside of
// objectives/ and tests.
func CheckNames(packages []Package, objectives []string) []string {
	var broken []string
	for _, p := range packages {
		if matches("objectives/...", p.Path) {
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			report := func(e ast.Expr) {
				lit, ok := e.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return
				}
				if s, err := strconv.Unquote(lit.Value); err == nil && slices.Contains(objectives, s) {
					broken = append(broken, fmt.Sprintf("%s:%d compares with the objective name %q: differences between objectives belong in their plans",
						f.Name, f.Set.Position(lit.Pos()).Line, s))
				}
			}
			ast.Inspect(f.Syntax, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BinaryExpr:
					if n.Op == token.EQL || n.Op == token.NEQ {
						report(n.X)
						report(n.Y)
					}
				case *ast.CaseClause:
					for _, e := range n.List {
						report(e)
					}
				}
				return true
			})
		}
	}
	return broken
}

// Load lists the packages of the module in root with go list and parses their files, those of other
// platforms included.
func Load(root string) ([]Package, error) {
	cmd := exec.Command("go", "list", "-e", "-json=Dir,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w: %s", root, err, stderr.String())
	}
	var packages []Package
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var listed struct {
			Dir                                                          string
			GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&listed); err != nil {
			return nil, fmt.Errorf("reading go list's answer: %w", err)
		}
		rel, err := filepath.Rel(root, listed.Dir)
		if err != nil {
			return nil, err
		}
		p := Package{Path: filepath.ToSlash(rel)}
		for _, name := range slices.Concat(listed.GoFiles, listed.CgoFiles, listed.IgnoredGoFiles, listed.TestGoFiles, listed.XTestGoFiles) {
			src, err := os.ReadFile(filepath.Join(listed.Dir, name))
			if err != nil {
				return nil, err
			}
			f, err := Parse(path.Join(p.Path, name), src)
			if err != nil {
				return nil, err
			}
			p.Files = append(p.Files, f)
		}
		packages = append(packages, p)
	}
	if len(packages) == 0 {
		return nil, errors.New("go list found no package in " + root)
	}
	return packages, nil
}

// Parse reads one Go file; name is relative to the module.
func Parse(name string, src []byte) (File, error) {
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return File{}, err
	}
	f := File{Name: name, Test: strings.HasSuffix(name, "_test.go"), Syntax: syntax, Set: set}
	for _, i := range syntax.Imports {
		imported, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return File{}, fmt.Errorf("%s: import %s: %w", name, i.Path.Value, err)
		}
		f.Imports = append(f.Imports, imported)
	}
	return f, nil
}
