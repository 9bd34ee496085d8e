package decode

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/data/decode/jpeg"
	"github.com/vittool/vittool/internal/must"
)

// TestForeignTable: every line of the table is read.
func TestForeignTable(t *testing.T) {
	lines := 0
	for line := range strings.Lines(foreignTable) {
		if !strings.HasPrefix(line, "# ") {
			lines++
		}
	}
	if n := len(foreign()); n != lines || n < 70 {
		t.Errorf("%d of %d lines are formats", n, lines)
	}
}

// TestForeign: a well-known format that is not read is called by its name, with advice.
func TestForeign(t *testing.T) {
	zeros := strings.Repeat("\x00", 300)
	for _, c := range []struct{ content, name, do string }{
		{"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000", "convert it"},
		{"\xff\x4f\xff\x51\x00\x29", "JPEG 2000", "convert it"},
		{"\x00\x00\x00\x20ftypavif\x00\x00\x00\x00", "AVIF", "convert it"},
		{"\x00\x00\x00\x20ftypheic\x00\x00\x00\x00", "HEIC", "convert it"},
		{"\x00\x00\x00\x20ftypmif1\x00\x00\x00\x00", "HEIF", "convert it"},
		{"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "video", "extract its frames"},
		{"\x00\x00\x00\x20ftypqt  \x00\x00\x02\x00", "QuickTime", "extract its frames"},
		{"\x00\x00\x10\x00moov", "QuickTime", "extract its frames"},
		{"RIFF\x00\x10\x00\x00AVI LIST", "AVI", "extract its frames"},
		{"RIFF\x00\x10\x00\x00WAVEfmt ", "WAV", "leave it out"},
		{"\x1a\x45\xdf\xa3\x01", "Matroska", "extract its frames"},
		{"\x00\x00\x01\x00\x01\x00\x10\x10\x00\x00\x01\x00\x20\x00\x68\x04\x00\x00\x16\x00\x00\x00", "Windows icon", "convert it"},
		{"\x00\x00\x02\x00\x01\x00\x10\x10\x00\x00\x05\x00\x07\x00\x68\x04\x00\x00\x16\x00\x00\x00", "Windows cursor", "convert it"},
		{"\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x28\x00\x1e\x00\x18\x20" + zeros[:80], "starts with the bytes 00 00 02", "readable are JPEG"}, // Targa
		{"\x00\x00\x02\x00\x01\x00\x00\x18\x00\x00\x00\x00\x28\x00\x1e\x00\x18\x20" + zeros[:80], "starts with the bytes 00 00 02", "readable are JPEG"},
		{"8BPS\x00\x01", "Photoshop", "convert it"},
		{zeros[:128] + "DICM", "DICOM", "export its pictures"},
		{"%PDF-1.7\n", "PDF", "render its pages"},
		{"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\">", "SVG", "render it"},
		{"\x93NUMPY\x01\x00", "npy", "save its pictures"},
		{"PK\x03\x04" + zeros[:26] + "arr_0.npy", "npz", "save its pictures"},
		{"PK\x03\x04" + zeros[:26] + "archive/data.pkl", "PyTorch", "no picture"},
		{"PK\x03\x04" + zeros[:26] + "a.jpg", "zip archive", "unpack it"},
		{"\x89HDF\r\n\x1a\n", "HDF5", "save its pictures"},
		{"\x08\x01\x00\x00\x00\x00\x00\x00{\"a\":{}} ", "safetensors", "no picture"},
		{"GGUF\x03\x00", "GGUF", "no picture"},
		{"\x1f\x8b\x08", "gzip", "unpack it"},
		{zeros[:257] + "ustar\x00", "tar archive", "--data"},
		{"version https://git-lfs.github.com/spec/v1\noid", "Git LFS", "git lfs pull"},
		{"\x00\x05\x16\x07\x00\x02", "macOS", "leave it out"},
		{"\xff\xd8\x00\x00", "damaged JPEG", "copy it again"},
		{zeros, "zero bytes", "broken off"},
		{"", "empty (0 bytes)", ""},
		{"hello", "not an image but text", "readable are JPEG"},
		{"\x01\x02\x03\x04", "starts with the bytes 01 02 03 04", "readable are JPEG"},
	} {
		_, err := Decode([]byte(c.content), Options{})
		if err == nil || !strings.Contains(err.Error(), c.name) || !strings.Contains(err.Error(), c.do) {
			t.Errorf("%.12q: %v; it should say %q and %q", c.content, err, c.name, c.do)
		}
	}
}

// TestNamedKinds: of a readable format, the kind that is not read is named.
func TestNamedKinds(t *testing.T) {
	b := must.Get(os.ReadFile(filepath.Join("testdata", "lzw.tif")))(t)
	change := func(tag, value byte) []byte { // of the entry of a tag below 512, little-endian, short
		b := bytes.Clone(b)
		at := bytes.LastIndex(b, []byte{tag, 1, 3, 0, 1, 0, 0, 0})
		b[at+8], b[at+9] = value, 0
		return b
	}
	for name, b := range map[string][]byte{
		"old-style JPEG": change(tagCompression-256, 6), "CCITT RLE": change(tagCompression-256, 2),
		"compression 77 (unknown)": change(tagCompression-256, 77), "CIE L*a*b*": change(tagPhotometric-256, 8),
		"photometric kind 99": change(tagPhotometric-256, 99),
	} {
		if _, err := Decode(b, Options{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	jpg := must.Get(os.ReadFile(filepath.Join("testdata", "420.jpg")))(t)
	for marker, name := range map[byte]string{0xc3: "lossless coding", 0xc9: "arithmetic coding", 0xc5: "coding process 5"} {
		b := bytes.Clone(jpg)
		b[bytes.Index(b, []byte{0xff, 0xc0})+1] = marker
		if _, err := Decode(b, Options{}); !errors.Is(err, jpeg.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
