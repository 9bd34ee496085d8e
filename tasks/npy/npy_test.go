package npy

import (
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

func samples() map[string]Array {
	return map[string]Array{
		"matrix":  {Shape: []int{2, 3}, Float32: []float32{1, -2, 3.5, float32(math.Inf(1)), 0, 1e-40}},
		"vector":  {Shape: []int{4}, Int64: []int64{0, -1, math.MaxInt64, math.MinInt64}},
		"scalar":  {Shape: nil, Float64: []float64{math.Pi}},
		"cube":    {Shape: []int{2, 1, 2}, Int32: []int32{1, 2, 3, -4}},
		"no rows": {Shape: []int{0, 7}, Float32: []float32{}},
	}
}

func TestRoundTrip(t *testing.T) {
	for name, a := range samples() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			must.Do(t, Write(&b, a))
			if at := bytes.IndexByte(b.Bytes(), '\n') + 1; at%64 != 0 {
				t.Errorf("data begins at byte %d, not at a multiple of 64", at)
			}
			got := must.Get(Read(&b))(t)
			if !reflect.DeepEqual(got, a) {
				t.Errorf("read %+v, wrote %+v", got, a)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, a := range map[string]Array{
		"nothing":     {Shape: []int{1}},
		"two kinds":   {Shape: []int{1}, Int32: []int32{1}, Int64: []int64{1}},
		"wrong shape": {Shape: []int{2, 2}, Int32: []int32{1}},
		"negative":    {Shape: []int{-1, -1}, Int32: []int32{1}},
	} {
		if err := Write(&bytes.Buffer{}, a); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	var good bytes.Buffer
	must.Do(t, Write(&good, samples()["matrix"]))
	whole := good.String()
	for name, c := range map[string]struct{ bytes, want string }{
		"empty":         {"", "magic"},
		"text":          {"hello, world", "magic"},
		"version":       {"\x93NUMPY\x09\x00\x00\x00", "version"},
		"header cut":    {whole[:40], "header"},
		"data cut":      {whole[:len(whole)-1], "ends after"},
		"data too long": {whole + "x", "follow"},
		"type":          {strings.Replace(whole, "<f4", "<c8", 1), "element type"},
		"fortran":       {strings.Replace(whole, "False", "True ", 1), "Fortran"},
		"huge":          {strings.Replace(whole, "(2, 3)", "(9999999999999999999, 3)", 1), "dimension"},
		"overflow":      {strings.Replace(whole, "(2, 3), }", "(9999999999, 9999999999)}", 1), "too large"},
		"big header":    {"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header of"},
	} {
		_, err := Read(strings.NewReader(c.bytes))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one about %q", name, err, c.want)
		}
	}
}

// TestNumPy compares with numpy, where a Python has it: it loads our files and we load its files.
func TestNumPy(t *testing.T) {
	python := os.Getenv("VITTOOL_PYTHON")
	if python == "" {
		python = "python3"
	}
	if exec.Command(python, "-c", "import numpy").Run() != nil {
		t.Logf("%s has no numpy (set VITTOOL_PYTHON): our own reader is the only check here", python)
		return
	}
	dir := t.TempDir()
	for name, a := range samples() {
		in, out := filepath.Join(dir, name+".npy"), filepath.Join(dir, name+".back.npy")
		var b bytes.Buffer
		must.Do(t, Write(&b, a))
		must.Do(t, os.WriteFile(in, b.Bytes(), 0o600))
		code := "import numpy,sys; a=numpy.load(sys.argv[1]); numpy.save(sys.argv[2], a); print(a.dtype.str, a.shape)"
		if msg, err := exec.Command(python, "-c", code, in, out).CombinedOutput(); err != nil {
			t.Fatalf("%s: numpy refuses it: %s", name, msg)
		}
		f := must.Get(os.Open(out))(t)
		got, err := Read(f)
		f.Close()
		if err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%s: after numpy %+v (%v), before %+v", name, got, err, a)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, a := range samples() {
		var b bytes.Buffer
		if err := Write(&b, a); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := Read(bytes.NewReader(raw))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := Write(&b, a); err != nil {
			t.Fatalf("read %v but cannot write it: %v", a.Shape, err)
		}
		again, err := Read(bytes.NewReader(b.Bytes()))
		if err != nil || !reflect.DeepEqual(again.Shape, a.Shape) {
			t.Fatalf("read back %v (%v), wrote %v", again.Shape, err, a.Shape)
		}
	})
}
