package plan_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/plan"
)

var update = flag.Bool("update", false, "write docs/operators.md anew")

// TestOperatorPage holds docs/operators.md to the table. Write it anew with
//
//	go test ./plugins/plan -run OperatorPage -update
func TestOperatorPage(t *testing.T) {
	path := filepath.Join(golden.Repository(t), "docs", "operators.md")
	if *update {
		must.Do(t, os.WriteFile(path, []byte(plan.Markdown()), 0o644))
	}
	page := must.Get(os.ReadFile(path))(t)
	if string(page) != plan.Markdown() {
		t.Errorf("%s differs from the operator table: go test ./plugins/plan -run OperatorPage -update", path)
	}
}

// Every operator that the protocol names has a row, and every row a name there.
func TestOperatorsAreThoseOfTheProtocol(t *testing.T) {
	source := must.Get(os.ReadFile(filepath.Join(golden.Repository(t), "plugins", "pb", "operators.go")))(t)
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\s*Op\w+\s*=\s*"(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		named[m[1]] = true
	}
	if len(named) == 0 {
		t.Fatal("no operator names were found")
	}
	for _, op := range plan.Operators() {
		if !named[op.Name] {
			t.Errorf("operator %s has no name in plugins/pb or stands twice in the table", op.Name)
		}
		delete(named, op.Name)
		if op.Summary == "" || len(op.Outputs) == 0 {
			t.Errorf("operator %s is not documented", op.Name)
		}
		for _, a := range op.Attributes {
			if a.Required == (a.Default != nil) {
				t.Errorf("operator %s: attribute %s must be required or have a default", op.Name, a.Name)
			}
		}
	}
	for name := range named {
		t.Errorf("plugins/pb names %s, which has no row in the table", name)
	}
}
