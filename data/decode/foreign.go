package decode

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

const readable = "readable are JPEG, PNG, GIF, WebP, TIFF, BMP and PNM (PBM, PGM, PPM)"

//go:embed foreign.tsv
var foreignTable string

// foreignFormat is a well-known format that is not read.
type foreignFormat struct {
	parts    []filePart
	name, do string
}

// filePart are bytes at a place of a file.
type filePart struct {
	at    int
	bytes string
}

var foreign = sync.OnceValue(func() (list []foreignFormat) {
	for line := range strings.Lines(foreignTable) {
		columns := strings.Split(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(line, "# ") {
			continue
		}
		f := foreignFormat{name: columns[1], do: columns[2]}
		for r := strings.NewReader(columns[0]); r.Len() > 0; {
			var p filePart
			if _, err := fmt.Fscanf(r, "%d %q", &p.at, &p.bytes); err != nil {
				panic(fmt.Sprintf("foreign.tsv: %q: %v", line, err))
			}
			f.parts = append(f.parts, p)
		}
		list = append(list, f)
	}
	return list
})

// Identify names a well-known format that Decode doesn't read by the first bytes of a file, with
// advice on it; both are "" for any other.
func Identify(b []byte) (name, do string) {
	if bytes.HasPrefix(b, []byte("PK\x03\x04")) {
		return identifyZip(b[:min(len(b), 200)])
	}
	for _, f := range foreign() {
		if slices.ContainsFunc(f.parts, func(p filePart) bool { return len(b) < p.at || !bytes.HasPrefix(b[p.at:], []byte(p.bytes)) }) {
			continue
		}
		if strings.Contains(f.name, "%q") { // the brand of ISO media
			return fmt.Sprintf(f.name, b[8:12]), f.do
		}
		return f.name, f.do
	}
	if kind := iconKind(b); kind != "" {
		return kind, "convert it to PNG or JPEG"
	}
	head := bytes.ToLower(b[:min(len(b), 1024)])
	if bytes.Contains(head, []byte("<svg")) && isText(head) {
		return "an SVG drawing", "render it as PNG, with rsvg-convert for example"
	}
	return "", ""
}

// iconKind names an icon or a cursor of Windows, "" for other files. Both begin with 00 00, a kind of
// 1 or 2 and the number of pictures; a directory of 16 bytes a picture follows. Targa files have
// the same first bytes.
func iconKind(b []byte) string {
	const header, record = 6, 16
	if len(b) < header+record || b[0] != 0 || b[1] != 0 || b[3] != 0 || b[2] != 1 && b[2] != 2 {
		return ""
	}
	count := int(binary.LittleEndian.Uint16(b[4:]))
	if count == 0 || b[header+3] != 0 { // a reserved byte of the first record
		return ""
	}
	size := binary.LittleEndian.Uint32(b[header+8:])
	place := binary.LittleEndian.Uint32(b[header+12:])
	const most = 1 << 26
	if size < record || size > most || int64(place) < int64(header+count*record) || place > most {
		return ""
	}
	return map[byte]string{1: "a Windows icon (ICO)", 2: "a Windows cursor (CUR)"}[b[2]]
}

func identifyZip(first []byte) (name, do string) {
	for _, f := range [...]struct{ entry, name, do string }{
		{".npy", "a NumPy archive (npz)", "save its pictures as PNG files"},
		{"data.pkl", "a file of PyTorch weights", "this file holds no picture; leave it out of the data"},
		{"/.format_version", "a file of PyTorch weights", "this file holds no picture; leave it out of the data"},
		{"[Content_Types].xml", "an Office document", "save its pictures as PNG files"},
		{"mimetype", "an Office document", "save its pictures as PNG files"},
	} {
		if bytes.Contains(first, []byte(f.entry)) {
			return f.name, f.do
		}
	}
	return "a zip archive", "unpack it"
}

func notAnImage(b []byte) error {
	if len(b) == 0 {
		return errors.New("the file is empty (0 bytes)")
	}
	if name, do := Identify(b); name != "" {
		return fmt.Errorf("this is %s, which is not read; %s (%s)", name, do, readable)
	}
	head := b[:min(len(b), 512)]
	if isText(head) {
		return fmt.Errorf("not an image but text, starting %q; %s", head[:min(len(head), 24)], readable)
	}
	if len(bytes.Trim(head, "\x00")) == 0 {
		return fmt.Errorf("not an image: it starts with %d zero bytes, as a file does whose copy was broken off; %s", len(head), readable)
	}
	return fmt.Errorf("not an image: it starts with the bytes % x; %s", head[:min(len(head), 8)], readable)
}

func isText(head []byte) bool {
	// The last rune may be cut by the limit of the sample.
	for cut := 0; cut < utf8.UTFMax && len(head) > 0; cut++ {
		if utf8.Valid(head) {
			return bytes.IndexFunc(head, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }) < 0
		}
		head = head[:len(head)-1]
	}
	return false
}
