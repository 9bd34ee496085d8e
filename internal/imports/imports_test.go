package imports

import (
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

const root = "../.."

func absoluteRoot(t *testing.T) string {
	t.Helper()
	t.Chdir(root)
	return must.Get(os.Getwd())(t)
}

// TestImportRules holds the module to the rules.
func TestImportRules(t *testing.T) {
	packages := must.Get(Load(absoluteRoot(t)))(t)
	for _, line := range Check(packages) {
		t.Error(line)
	}
}

// TestNoObjectiveByName: the folders under objectives are the names.
func TestNoObjectiveByName(t *testing.T) {
	dir := absoluteRoot(t)
	entries := must.Get(os.ReadDir("objectives"))(t)
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "testdata" {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		t.Fatal("no objective under objectives/: this test would pass without looking at anything")
	}
	packages := must.Get(Load(dir))(t)
	for _, line := range CheckNames(packages, names) {
		t.Error(line)
	}
}

// fake is a package of one file.
func fake(t *testing.T, pkg, file, src string) Package {
	t.Helper()
	f := must.Get(Parse(path.Join(pkg, file), []byte(src)))(t)
	return Package{Path: pkg, Files: []File{f}}
}

// TestRulesCanFail: each rule refuses an import against it.
func TestRulesCanFail(t *testing.T) {
	importing := func(p string) string { return "package x\nimport _ \"" + p + "\"\n" }
	tests := []struct {
		name, pkg, file, imports string
		want                     string // part of the complaint; empty: allowed
	}{
		{"core reaches down", "core", "a.go", Module + "/core/internal/f32", ""},
		{"vit sees kernels", "vit", "a.go", Module + "/core/internal/f32", "only core sees the kernels"},
		{"a command sees kernels", "cmd/vittool", "a.go", Module + "/core/internal/f32", "only core sees the kernels"},
		{"core reaches up", "core", "a.go", Module + "/vit", "may import"},
		{"kernels reach up", "core/internal/f32", "a.go", Module + "/core", "imports nothing of this module"},
		{"train sees a family", "train", "a.go", Module + "/vit", "may import"},
		{"a command sees a family", "cmd/vittool", "a.go", Module + "/vit", "only backbone/families sees a family"},
		{"the list sees a family", "backbone/families", "a.go", Module + "/vit", ""},
		{"a family sees the list", "vit", "a.go", Module + "/backbone/families", "may import"},
		{"core uses gorgonia", "core", "a.go", "gorgonia.org/gorgonia", ""},
		{"train uses gorgonia", "train", "a.go", "gorgonia.org/tensor", "wrapped once"},
		{"even in a test", "train", "a_test.go", "gorgonia.org/tensor", "wrapped once"},
		{"a command sees an objective", "cmd/vittool", "a.go", Module + "/objectives/tokenizer", "the list in package objectives"},
		{"a command sees the list of objectives", "cmd/vittool", "a.go", Module + "/objectives", ""},
		{"objective uses the SDK", "objectives/mae", "a.go", Module + "/plugins/sdk", ""},
		{"objective uses the messages", "objectives/mae", "a.go", Module + "/plugins/pb", "not the protocol's messages"},
		{"objective's test uses the messages", "objectives/mae", "a_test.go", Module + "/plugins/pb", "not the protocol's messages"},
		{"a command uses the messages", "cmd/vittool", "a.go", Module + "/plugins/pb", "not the protocol's messages"},
		{"objective uses the host", "objectives/mae", "a.go", Module + "/plugins/host", "may import"},
		{"objective uses the engine", "objectives/mae", "a.go", Module + "/core", "may import"},
		{"objective's test uses the host", "objectives/mae", "a_test.go", Module + "/plugins/host", ""},
		{"SDK uses the engine", "plugins/sdk", "a.go", Module + "/core", "may import"},
		{"data uses train", "data", "a.go", Module + "/train", "may import"},
		{"train uses a command", "train", "a.go", Module + "/cmd/vittool", "may import"},
		{"command uses train", "cmd/vittool", "a.go", Module + "/train", ""},
		{"a command parses flags", "cmd/vittool", "a.go", "github.com/spf13/cobra", ""},
		{"train parses flags", "train", "a.go", "github.com/spf13/cobra", "command line"},
		{"a package without a rule", "newcomer", "a.go", "fmt", "no rule"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(Check([]Package{fake(t, tt.pkg, tt.file, importing(tt.imports))}), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("Check said %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNamesCanFail(t *testing.T) {
	tests := []struct {
		name, pkg, body string
		want            int
	}{
		{"if", "train", `func f(s string) bool { if s == "mae" { return true }; return false }`, 1},
		{"reversed", "train", `func f(s string) bool { return "mae" != s }`, 1},
		{"switch", "plugins/host", `func f(s string) int { switch s { case "dino", "mae": return 1 }; return 0 }`, 2},
		{"default value", "configs", `const name = "mae"`, 0},
		{"another word", "train", `func f(s string) bool { return s == "linear" }`, 0},
		{"its own folder", "objectives/mae", `func f(s string) bool { return s == "mae" }`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := CheckNames([]Package{fake(t, tt.pkg, "a.go", "package x\n"+tt.body+"\n")}, []string{"mae", "dino"})
			if len(got) != tt.want {
				t.Errorf("%d complaints, want %d: %v", len(got), tt.want, got)
			}
		})
	}
}

// TestNoGraphBelow: packages that read images, draw pictures, keep run folders or serve objectives
// link no graph library, not even by way of others.
func TestNoGraphBelow(t *testing.T) {
	dir := absoluteRoot(t)
	for _, p := range []string{"tensor", "data", "data/pack", "data/scenes", "runs", "tasks/pictures", "plugins/sdk"} {
		cmd := exec.Command("go", "list", "-deps", "./"+p)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list -deps ./%s: %v", p, err)
		}
		if !strings.Contains(string(out), Module+"/"+p) {
			t.Fatalf("go list -deps ./%s does not list the package itself", p)
		}
		if strings.Contains(string(out), "gorgonia.org/") {
			t.Errorf("%s links gorgonia", p)
		}
	}
}
