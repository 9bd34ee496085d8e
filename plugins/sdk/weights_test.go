package sdk_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/sdk"
)

// header is a safetensors file with a header and so many zeros.
func header(text string, zeros ...int) []byte {
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	for _, n := range zeros {
		file = append(file, make([]byte, n)...)
	}
	return file
}

func TestOpenWeights(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w")
	open := func(content []byte) (*sdk.Weights, error) {
		t.Helper()
		must.Do(t, os.WriteFile(path, content, 0o644))
		return sdk.OpenWeights(path)
	}
	w := must.Get(open(header(`{"__metadata__":{"digest":"abc","kind":"x"},"a.b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}`, 24)))(t)
	if !slices.Equal(w.Shape("a.b"), []int{2, 3}) || w.Shape("c") != nil || w.Meta["kind"] != "x" {
		t.Errorf("%+v", w)
	}
	if i := w.Init("a.b"); i.Kind != plan.InitFile || i.Path != path || i.Tensor != "a.b" || i.Digest != "abc" {
		t.Errorf("%v", i)
	}
	for want, content := range map[string][]byte{
		"not a valid safetensors file":                []byte("short"),
		"the header claims 1152921504606846976 bytes": append(binary.LittleEndian.AppendUint64(nil, 1<<60), "{}"...),
		"this is an archive of NumPy arrays":          append([]byte("PK\x03\x04"+strings.Repeat("\x00", 22)+"\x05\x00\x00\x00"), "a.npy"...),
		"this is a pickle":                            []byte("\x80\x02}q\x00(X\x05\x00\x00\x00model"),
		`"a"`:                                         header(`{"a":{"shape":"wide"}}`),
		"hold no digest":                              header(`{"__metadata__":{"a":"b"}}`),
	} {
		if _, err := open(content); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want %q and the path in it", content, err, want)
		}
	}
	if _, err := sdk.OpenWeights(path + "missing"); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
}
