package tensor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fileOf builds a file from a header and data, right or wrong.
func fileOf(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestSafetensorsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	in := []Tensor{
		NewU8("mask", Shape{3}, []byte{1, 0, 255}),
		NewF32("weights", Shape{2, 2}, []float32{1, -2, float32(math.Inf(1)), float32(math.NaN())}),
		NewF64("loss", Shape{}, []float64{math.Pi}),
		NewI64("steps", Shape{1}, []int64{-5}),
		NewI32("index", Shape{2}, []int32{7, -1}),
		NewF32("empty", Shape{0, 4}, nil),
		NewF32("name \"with\" \u00fcmlaut", Shape{1}, []float32{3}),
	}
	if err := WriteSafetensors(path, in, map[string]string{"b": "2", "a": "1"}); err != nil {
		t.Fatal(err)
	}
	f, err := ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.VerifyDigest(); err != nil {
		t.Error(err)
	}
	if f.Meta["a"] != "1" || f.Meta["b"] != "2" || len(f.Tensors) != len(in) {
		t.Errorf("metadata %v, %d tensors", f.Meta, len(f.Tensors))
	}
	for _, want := range in {
		got, ok := f.Get(want.Name)
		if !ok || got.DType != want.DType || !got.Shape.Equal(want.Shape) || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s: %v %v %v, want %v %v %v", want.Name, got.DType, got.Shape, got.Bytes(), want.DType, want.Shape, want.Bytes())
		}
	}
	raw, _ := os.ReadFile(path)
	if n := binary.LittleEndian.Uint64(raw); n%8 != 0 {
		t.Errorf("a header of %d bytes leaves the data unaligned", n)
	}
	again := filepath.Join(t.TempDir(), "y.safetensors")
	if err := WriteSafetensors(again, in, map[string]string{"a": "1", "b": "2"}); err != nil {
		t.Fatal(err)
	}
	if other, _ := os.ReadFile(again); !bytes.Equal(raw, other) {
		t.Error("the same contents gave other bytes")
	}
	raw[len(raw)-1] ^= 1
	damaged, err := DecodeSafetensors(raw)
	if err != nil {
		t.Fatal(err)
	}
	if damaged.VerifyDigest() == nil {
		t.Error("a flipped bit is not noticed")
	}
}

func TestSafetensorsRefuses(t *testing.T) {
	entry := `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	four := []byte{0, 0, 0, 0}
	for name, tc := range map[string]struct {
		file []byte
		want string // part of the error
	}{
		"empty file":          {nil, "too few"},
		"short":               {[]byte{1, 2, 3}, "too few"},
		"header too long":     {binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "allowed"},
		"truncated header":    {binary.LittleEndian.AppendUint64(nil, 50), "truncated"},
		"no object":           {fileOf(`[]`), "not a JSON object"},
		"empty header":        {fileOf(``), "not a JSON object"},
		"broken JSON":         {fileOf(`{"a":`), "EOF"},
		"trailing":            {fileOf(`{`+entry+`}x`, four...), "follow"},
		"duplicate":           {fileOf(`{`+entry+`,`+entry+`}`, four...), "twice"},
		"duplicate metadata":  {fileOf(`{"__metadata__":{},"__metadata__":{}}`), "twice"},
		"metadata not string": {fileOf(`{"__metadata__":{"a":1}}`), "strings"},
		"unknown type":        {fileOf(`{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}`, four...), "F33"},
		"missing field":       {fileOf(`{"a":{"dtype":"F32","shape":[1]}}`, four...), "data_offsets"},
		"unknown field":       {fileOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, four...), "unknown field"},
		"three offsets":       {fileOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`, four...), "not 2"},
		"beyond the end":      {fileOf(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, four...), "truncated"},
		"backwards":           {fileOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, four...), "range"},
		"negative offset":     {fileOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, four...), "range"},
		"negative shape":      {fileOf(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, four...), "dimension"},
		"fraction":            {fileOf(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, four...), "shape"},
		"overflow":            {fileOf(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}`, four...), "memory"},
		"wrong size":          {fileOf(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, four...), "fit"},
		"overlap":             {fileOf(`{`+entry+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, 0, 0, 0, 0, 0, 0), "overlaps"},
		"gap":                 {fileOf(`{`+entry+`,"b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}}`, 0, 0, 0, 0, 0, 0), "no tensor"},
		"rest":                {fileOf(`{`+entry+`}`, 0, 0, 0, 0, 0), "after the last"},
	} {
		_, err := DecodeSafetensors(tc.file)
		var fe *FormatError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want a FormatError with %q", name, err, tc.want)
		}
	}
	f, err := DecodeSafetensors(fileOf(`{`+entry+`}   `, four...)) // padding is allowed
	if err != nil || len(f.Tensors) != 1 {
		t.Errorf("padded header: %v", err)
	}
	path := filepath.Join(t.TempDir(), "broken.safetensors")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSafetensors(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name the file", err)
	}
}

func TestHalfPrecision(t *testing.T) {
	for bits, want := range map[uint16]float32{0: 0, 0x3C00: 1, 0xC000: -2, 0x7BFF: 65504, 1: 1.0 / (1 << 24), 0x8001: -1.0 / (1 << 24), 0x03FF: 1023.0 / (1 << 24), 0x7C00: float32(math.Inf(1)), 0x3555: 0.33325195} {
		x := Tensor{Name: "h", DType: F16, Shape: Shape{1}, data: binary.LittleEndian.AppendUint16(nil, bits)}
		if got, err := x.Float32s(); err != nil || got[0] != want {
			t.Errorf("F16 %04x is %v, want %v (%v)", bits, got, want, err)
		}
	}
	b := Tensor{Name: "b", DType: BF16, Shape: Shape{1}, data: []byte{0x80, 0xBF}}
	if got, err := b.Float32s(); err != nil || got[0] != -1 {
		t.Errorf("BF16 is %v, want -1 (%v)", got, err)
	}
	if _, err := NewI64("i", Shape{1}, []int64{1}).Float32s(); err == nil {
		t.Error("integers pass as floats")
	}
}

// FuzzSafetensors: any bytes give a file or an error, never a panic; what was
// read can be written and read again.
func FuzzSafetensors(f *testing.F) {
	var good bytes.Buffer
	if err := EncodeSafetensors(&good, []Tensor{NewF32("a", Shape{2}, []float32{1, 2}), NewI64("b", Shape{}, []int64{3}), NewU8("c", Shape{1, 1}, []byte{9})}, map[string]string{"k": "v"}); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add(fileOf(`{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}`, 1, 2))
	f.Add(fileOf(`{"a":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,0]}}`))
	f.Add(fileOf(`{"\ud800":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"\ud801":{"dtype":"U8","shape":[],"data_offsets":[1,2]}}`, 1, 2))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := DecodeSafetensors(data)
		if err != nil {
			return
		}
		for _, x := range file.Tensors {
			x.Float64s()
			x.Int64s()
		}
		var again bytes.Buffer
		if err := EncodeSafetensors(&again, file.Tensors, file.Meta); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		second, err := DecodeSafetensors(again.Bytes())
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if err := second.VerifyDigest(); err != nil || Digest(second.Tensors) != Digest(file.Tensors) {
			t.Fatalf("the contents changed: %v", err)
		}
	})
}

// TestSafetensorsPython exchanges files with the Python library where
// VITTOOL_PYTHON names an interpreter that has it.
func TestSafetensorsPython(t *testing.T) {
	python := os.Getenv("VITTOOL_PYTHON")
	if python == "" {
		t.Log("VITTOOL_PYTHON is not set: only our own reader was asked")
		return
	}
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours.safetensors"), filepath.Join(dir, "theirs.safetensors")
	if err := WriteSafetensors(ours, []Tensor{NewU8("u", Shape{3}, []byte{1, 2, 3}), NewF32("f", Shape{2, 2}, []float32{1, 2, 3, 4.5}), NewF64("d", Shape{}, []float64{0.1}), NewI64("i", Shape{1}, []int64{-9})}, map[string]string{"who": "go"}); err != nil {
		t.Fatal(err)
	}
	script := `
import sys, numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
with safe_open(sys.argv[1], "np") as f:
    assert f.metadata()["who"] == "go", f.metadata()
    t = {k: f.get_tensor(k) for k in f.keys()}
assert t["f"].tolist() == [[1, 2], [3, 4.5]] and t["u"].tolist() == [1, 2, 3]
assert t["d"].shape == () and t["d"] == 0.1 and t["i"].tolist() == [-9]
t["h"] = np.array([1.5, -2], np.float16)
save_file(t, sys.argv[2], metadata={"who": "python"})
`
	if out, err := exec.Command(python, "-c", script, ours, theirs).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := ReadSafetensors(theirs)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := f.Get("h")
	if v, err := h.Float32s(); err != nil || v[0] != 1.5 || v[1] != -2 {
		t.Errorf("h is %v (%v)", v, err)
	}
	x, _ := f.Get("f")
	if v, err := x.Float32s(); err != nil || v[3] != 4.5 || f.Meta["who"] != "python" {
		t.Errorf("f is %v (%v), metadata %v", v, err, f.Meta)
	}
}
