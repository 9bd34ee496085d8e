package tensor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
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
	must.Do(t, WriteSafetensors(path, in, map[string]string{"b": "2", "a": "1"}))
	f := must.Get(ReadSafetensors(path))(t)
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
	must.Do(t, WriteSafetensors(again, in, map[string]string{"a": "1", "b": "2"}))
	if other, _ := os.ReadFile(again); !bytes.Equal(raw, other) {
		t.Error("the same contents gave other bytes")
	}
	raw[len(raw)-1] ^= 1
	damaged := must.Get(DecodeSafetensors(raw))(t)
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
		"header too long":     {append(binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "{}"...), "allowed"},
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
	must.Do(t, os.WriteFile(path, []byte("hello"), 0o600))
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

// TestTypesBeside: a tensor of any type of the format may lie in a file, whose other tensors are read.
// Floats are converted; the values of other types are refused by name.
func TestTypesBeside(t *testing.T) {
	for dtype, width := range bits {
		n := 8 * width / 8 // bytes of eight elements
		header := fmt.Sprintf(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":%q,"shape":[2,4],"data_offsets":[4,%d]}}`, dtype, 4+n)
		f, err := DecodeSafetensors(fileOf(header, append([]byte{0, 0, 128, 63}, make([]byte, n)...)...))
		if err != nil {
			t.Errorf("%s: %v", dtype, err)
			continue
		}
		w, _ := f.Get("w")
		if v, err := w.Float32s(); err != nil || v[0] != 1 {
			t.Errorf("%s: the tensor beside it is %v, %v", dtype, v, err)
		}
		x, _ := f.Get("x")
		switch v, err := x.Float32s(); dtype {
		case F64, F32, F16, BF16, F8E4M3, F8E5M2:
			if err != nil || !slices.Equal(v, make([]float32, 8)) {
				t.Errorf("%s: zeros are %v, %v", dtype, v, err)
			}
		default:
			if err == nil || !strings.Contains(err.Error(), "tensor x is of type "+string(dtype)) {
				t.Errorf("%s: %v, %v", dtype, v, err)
			}
		}
		var again bytes.Buffer
		if err := EncodeSafetensors(&again, f.Tensors, nil); err != nil {
			t.Errorf("%s: written: %v", dtype, err)
		}
	}
	odd := fileOf(`{"x":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}`, 0, 0)
	if _, err := DecodeSafetensors(odd); err == nil || !strings.Contains(err.Error(), "fit") {
		t.Errorf("three elements of half a byte: %v", err)
	}
}

// TestNarrowFloats holds conversions to values of the types' definitions.
func TestNarrowFloats(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		dtype DType
		bytes []byte
		want  []float32
	}{
		{F8E4M3, []byte{0x38, 0x7E, 0x01, 0xC0, 0x00, 0x08, 0x07, 0xFF}, []float32{1, 448, 1.0 / 512, -2, 0, 1.0 / 64, 7.0 / 512, nan}},
		{F8E5M2, []byte{0x3C, 0x7B, 0x01, 0xC0, 0x00, 0x7C, 0xFC, 0x7D}, []float32{1, 57344, 1.0 / 65536, -2, 0, inf, -inf, nan}},
		{F64, binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.1)), []float32{0.1}},
	} {
		x := Tensor{Name: "x", DType: c.dtype, Shape: Shape{len(c.want)}, data: c.bytes}
		got, err := x.Float32s()
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%s: %v, %v", c.dtype, got, err)
			continue
		}
		for i, want := range c.want {
			if got[i] != want && !(got[i] != got[i] && want != want) {
				t.Errorf("%s: %#x is %v, want %v", c.dtype, c.bytes[i], got[i], want)
			}
		}
	}
}

// TestOtherFormats: files in well-known formats are called by their names, with a remedy.
func TestOtherFormats(t *testing.T) {
	zip := func(name string) string {
		local := make([]byte, 30)
		copy(local, "PK\x03\x04")
		binary.LittleEndian.PutUint16(local[26:], uint16(len(name)))
		return string(local) + name
	}
	for _, c := range []struct{ start, format, remedy string }{
		{zip("archive/data.pkl"), "PyTorch checkpoint", "torch.load"},
		{zip("arr_0.npy"), ".npz", "safetensors.numpy"},
		{zip("other.txt"), "zip archive", "unpack"},
		{"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "pickle", "torch.load"},
		{"\x89HDF\r\n\x1a\n\x00\x00\x00", "HDF5", "safetensors"},
		{"GGUF\x03\x00\x00\x00\x00\x00", "GGUF", "PyTorch"},
		{"\x93NUMPY\x01\x00v\x00{'descr'", ".npy", "safetensors.numpy"},
		{"\x08\x07\x12\x07pytorch\x1a", "ONNX", "PyTorch"},
		{"\n\x10\n\x08save/abc\x12\x05Const", "TensorFlow model", "timm"},
		{"\x08\x01\x12\xb4\x10\n\x12\x05serve\x00", "TensorFlow model", "timm"},
		{"\xfa\x01\x02\x03\x04\x05\x06\x07\x08", "unknown format (first bytes fa 01 02 03", "name a safetensors file"},
		{strings.Repeat("\x00", 257) + "ustar\x0000", "tar archive", "unpack"},
		{"version https://git-lfs.github.com/spec/v1\noid", "Git LFS", "git lfs pull"},
		{"<!DOCTYPE html><html>", "web page", "download"},
		{"# MAE with a small network\nobjective:\n  name: mae\n", "text file (YAML", "folder of a run"},
		{`{"model": {"name": "vit"}}`, "text file (YAML, JSON", "folder of a run"},
		{"names\n" + strings.Repeat("ä", 2000), "text file", "folder of a run"}, // cut within a letter
		{"\xff\xd8\xff\xe0\x00\x10JFIF", "JPEG image", "safetensors"},
	} {
		path := filepath.Join(t.TempDir(), "weights")
		must.Do(t, os.WriteFile(path, []byte(c.start), 0o600))
		_, err := ReadSafetensors(path)
		var fe *FormatError
		if !errors.As(err, &fe) || !strings.Contains(fe.Format, c.format) || !strings.Contains(fe.Remedy, c.remedy) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", c.format, err)
		}
	}
}

// FuzzSafetensors: any bytes give a file or an error, never a panic; a file that was read can be
// written and read again.
func FuzzSafetensors(f *testing.F) {
	var good bytes.Buffer
	if err := EncodeSafetensors(&good, []Tensor{NewF32("a", Shape{2}, []float32{1, 2}), NewI64("b", Shape{}, []int64{3}), NewU8("c", Shape{1, 1}, []byte{9})}, map[string]string{"k": "v"}); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add(fileOf(`{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}`, 1, 2))
	f.Add(fileOf(`{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]},"b":{"dtype":"BOOL","shape":[1],"data_offsets":[2,3]},"c":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[3,4]}}`, 1, 2, 1, 0xFF))
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
			t.Fatalf("a decoded file cannot be written: %v", err)
		}
		second, err := DecodeSafetensors(again.Bytes())
		if err != nil {
			t.Fatalf("an encoded file cannot be read: %v", err)
		}
		if err := second.VerifyDigest(); err != nil || Digest(second.Tensors) != Digest(file.Tensors) {
			t.Fatalf("the contents changed: %v", err)
		}
	})
}

// TestSafetensorsPython exchanges files with the Python library where VITTOOL_PYTHON names an
// interpreter that has it.
func TestSafetensorsPython(t *testing.T) {
	python := os.Getenv("VITTOOL_PYTHON")
	if python == "" {
		t.Log("VITTOOL_PYTHON is not set: only our own reader was asked")
		return
	}
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours.safetensors"), filepath.Join(dir, "theirs.safetensors")
	must.Do(t, WriteSafetensors(ours, []Tensor{NewU8("u", Shape{3}, []byte{1, 2, 3}), NewF32("f", Shape{2, 2}, []float32{1, 2, 3, 4.5}), NewF64("d", Shape{}, []float64{0.1}), NewI64("i", Shape{1}, []int64{-9})}, map[string]string{"who": "go"}))
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
	f := must.Get(ReadSafetensors(theirs))(t)
	h, _ := f.Get("h")
	if v, err := h.Float32s(); err != nil || v[0] != 1.5 || v[1] != -2 {
		t.Errorf("h is %v (%v)", v, err)
	}
	x, _ := f.Get("f")
	if v, err := x.Float32s(); err != nil || v[3] != 4.5 || f.Meta["who"] != "python" {
		t.Errorf("f is %v (%v), metadata %v", v, err, f.Meta)
	}
}
