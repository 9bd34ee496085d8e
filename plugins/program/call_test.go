package program

import (
	"testing"

	"github.com/vittool/vittool/plugins/plan"
)

// Every row of the operator table has a builder, and every builder a row.
func TestBuilders(t *testing.T) {
	rows := plan.Operators()
	for _, op := range rows {
		if builders[op.Name] == nil {
			t.Errorf("operator %s has no builder", op.Name)
		}
	}
	if len(builders) != len(rows) {
		t.Errorf("%d builders for %d operators", len(builders), len(rows))
	}
}
