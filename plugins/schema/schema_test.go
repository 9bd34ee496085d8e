package schema

import (
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

func limit(x float64) *float64 { return &x }

func options() []Option {
	return []Option{
		{Key: "mask_ratio", Type: Float, Default: "0.75", Min: limit(0), Max: limit(1), ExclusiveMin: true, ExclusiveMax: true, Help: "h"},
		{Key: "depth", Type: Int, Default: "8", Min: limit(0), Help: "h"},
		{Key: "norm", Type: Bool, Default: "true", Help: "h"},
		{Key: "kind", Type: String, Default: `"block"`, Choices: []string{"block", "random"}, Help: "h"},
		{Key: "layers", Type: Ints, Default: "[1,2]", Min: limit(0), Help: "h"},
		{Key: "weights", Type: Floats, Default: "[]", Help: "h"},
		{Key: "names", Type: Strings, Default: "[]", Help: "h"},
	}
}

func TestComplete(t *testing.T) {
	const rest = `"kind":"block","layers":[1,2],"mask_ratio":0.75,"names":[],"norm":true,"weights":[]}`
	for _, c := range []struct {
		name   string
		values map[string]any
		want   string
		err    string // a part of the message
	}{
		{"defaults", nil, `{"depth":8,` + rest, ""},
		{"int as float", map[string]any{"depth": 4.0}, `{"depth":4,` + rest, ""},
		{"int as text", map[string]any{"depth": "4"}, `{"depth":4,` + rest, ""},
		{"fraction", map[string]any{"depth": 4.5}, "", "not a whole number"},
		{"range", map[string]any{"mask_ratio": 1.0}, "", "option \"mask_ratio\" = 1: is out of range; valid is above 0 to below 1"},
		{"not a number", map[string]any{"mask_ratio": "many"}, "", `"many" is not a number`},
		{"nan", map[string]any{"mask_ratio": "nan"}, "", "not a number"},
		{"bool", map[string]any{"norm": 1}, "", "not true or false"},
		{"choice", map[string]any{"kind": "spiral"}, "", "option \"kind\" = \"spiral\": is not one of its values; valid are: block, random"},
		{"text", map[string]any{"kind": 3}, "", "not text"},
		{"list", map[string]any{"layers": 3}, "", "not a list"},
		{"list element", map[string]any{"layers": []any{1, -1}}, "", "element 1 (-1) is out of range; valid is 0 and more"},
		{"typo", map[string]any{"mask_rate": 0.5}, "", "option \"mask_rate\": there is no such option; did you mean mask_ratio?"},
		{"unknown", map[string]any{"zebra": 0.5}, "", "valid are: depth"},
	} {
		got, err := Complete(options(), c.values)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q in it", c.name, err, c.err)
			}
			continue
		}
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	must.Do(t, Check(options()))
	for name, change := range map[string]func(o []Option){
		"twice":   func(o []Option) { o[1].Key = o[0].Key },
		"key":     func(o []Option) { o[0].Key = "Mask Ratio" },
		"default": func(o []Option) { o[0].Default = "2" },
		"json":    func(o []Option) { o[0].Default = "" },
		"help":    func(o []Option) { o[0].Help = "" },
		"type":    func(o []Option) { o[0].Type = 99 },
	} {
		o := options()
		change(o)
		if Check(o) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"depth":4}`))
	f.Add([]byte(`{"layers":[1,2e3],"norm":"true"}`))
	f.Add([]byte(`{"mask_ratio":1e400}`))
	f.Fuzz(func(t *testing.T, config []byte) {
		out, err := Parse(options(), config)
		if err != nil {
			return
		}
		again, err := Parse(options(), out) // accepted options come back unchanged
		if err != nil || string(again) != string(out) {
			t.Fatalf("%s -> %s -> %s, %v", config, out, again, err)
		}
	})
}
