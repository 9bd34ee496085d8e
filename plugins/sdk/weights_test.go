package sdk_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/sdk"
)

// header is a safetensors file of a header alone.
func header(text string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
}

func TestOpenWeights(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w")
	open := func(content []byte) (*sdk.Weights, error) {
		t.Helper()
		must.Do(t, os.WriteFile(path, content, 0o644))
		return sdk.OpenWeights(path)
	}
	w := must.Get(open(header(`{"__metadata__":{"digest":"abc","kind":"x"},"a.b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}`)))(t)
	if !slices.Equal(w.Shape("a.b"), []int{2, 3}) || w.Shape("c") != nil || w.Meta["kind"] != "x" {
		t.Errorf("%+v", w)
	}
	if i := w.Init("a.b"); i.Kind != sdk.FileInit || i.Path != path || i.Tensor != "a.b" || i.Digest != "abc" {
		t.Errorf("%v", i)
	}
	for want, content := range map[string][]byte{
		"no safetensors file":           []byte("short"),
		"claims a header":               append(binary.LittleEndian.AppendUint64(nil, 1<<60), "{}"...),
		"its header":                    header(`{"a":`),
		`tensor "a"`:                    header(`{"a":{"shape":"wide"}}`),
		"metadata":                      header(`{"__metadata__":[1]}`),
		"carries no digest":             header(`{"a":{"shape":[1]}}`),
		"claims a header of 4294967296": append(binary.LittleEndian.AppendUint64(nil, 1<<32), make([]byte, 100)...),
	} {
		if _, err := open(content); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want %q and the path in it", content, err, want)
		}
	}
	if _, err := sdk.OpenWeights(path + "missing"); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
}
