package check_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/check"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plugintest"
	"github.com/vittool/vittool/plugins/sdk"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, host.ServeArgs, func(name string) (sdk.Objective, error) {
		if o, err := bad(name); err == nil {
			return o, nil
		}
		return objectives.New(name)
	}, nil)
}

// Every built-in objective keeps the contract. By default every second one is asked; with
// VITTOOL_TEST_FULL all are.
func TestBuiltins(t *testing.T) {
	for i, name := range objectives.Names() {
		if i%2 == 1 && os.Getenv("VITTOOL_TEST_FULL") == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for _, r := range check.Run(context.Background(), host.Options{Name: name, Config: files(t, name)}) {
				if r.Err != nil {
					t.Errorf("%s: %v", r.Name, r.Err)
				}
				t.Logf("%s: %s (%v)", r.Name, r.Note, r.Took.Round(time.Millisecond))
			}
		})
	}
}

// files sets the options that name a file which the objective has among its test data.
func files(t *testing.T, name string) map[string]any {
	t.Helper()
	d := must.Get(host.Describe(context.Background(), host.Options{Name: name, Mode: host.Inproc}))(t)
	config := map[string]any{}
	for _, o := range d.Options {
		path := filepath.Join("..", "..", "objectives", name, "testdata", o.Key+".safetensors")
		if _, err := os.Stat(path); err == nil {
			config[o.Key] = path
		}
	}
	return config
}

// careless breaks one rule of the contract.
type careless struct{ rule string }

func (c *careless) Info() sdk.Info { return sdk.Info{Name: c.rule, Version: "1.0.0"} }

func (c *careless) Plan(b *sdk.Builder) error {
	view := b.View("image")
	n := 4
	if c.rule == "clock-plan" {
		n = 1 + int(time.Now().UnixNano()%1000003)
	}
	b.Param("weight", []int{n}, sdk.InitZeros())
	calls := 0
	b.BitMask("mask", view, func(call *sdk.MaskCall, i int, masked []byte) {
		calls++
		r := call.RNG(i)
		switch c.rule {
		case "clock-mask":
			r = sdk.NewRNG(uint64(time.Now().UnixNano()))
		case "counting-mask":
			r = sdk.NewRNG(uint64(calls))
		case "constant-mask":
			r = sdk.NewRNG(1)
		case "invalid-mask":
			masked[0] = 2
		}
		masked[r.IntN(len(masked))] |= 1
	})
	return b.Minimize(b.Mean(b.Student("encoder", view).Tokens()))
}

func bad(name string) (sdk.Objective, error) {
	if _, ok := findings[name]; !ok {
		return nil, fmt.Errorf("no objective %q", name)
	}
	return &careless{name}, nil
}

// findings maps each rule to a part of the suite's message about an objective that breaks it.
var findings = map[string]string{
	"clock-plan":    "different plans",
	"clock-mask":    "different masks",
	"counting-mask": "different masks",
	"constant-mask": "masks of all steps are the same",
	"invalid-mask":  "cell 0 is",
}

// The suite finds the breach of every rule.
func TestFindings(t *testing.T) {
	for rule, want := range findings {
		o := host.Options{Name: rule, Builtin: bad}
		found := false
		for _, r := range check.Run(context.Background(), o) {
			found = found || r.Err != nil && strings.Contains(r.Err.Error(), want)
		}
		if !found {
			t.Errorf("%s: not found", rule)
		}
	}
}
