package tensor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sort"
)

// maxHeader is the longest JSON header accepted, the bound of the reference implementation of
// safetensors.
const maxHeader = 100_000_000

// DecodeSafetensors parses the bytes of a file; the tensors refer to data and do not copy it. The
// header's length, its JSON, every type, shape and offset must be valid, names unique, and the
// tensors must cover the data without gap or overlap. Any other input is a *FormatError, never a
// panic.
func DecodeSafetensors(data []byte) (*File, error) {
	entries, meta, base, err := readHeader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	body := data[base:]
	tensors := make([]Tensor, 0, len(entries))
	for _, e := range entries {
		tensors = append(tensors, Tensor{Name: e.name, DType: e.dtype, Shape: e.shape, data: body[e.begin:e.end:e.end]})
	}
	return NewFile("", tensors, meta), nil
}

// checkEntries sorts the entries by place. They must cover the data, body bytes from base, without
// gap or overlap.
func checkEntries(entries []headerEntry, base, body int64) error {
	sort.SliceStable(entries, func(i, j int) bool {
		if entries[i].begin != entries[j].begin {
			return entries[i].begin < entries[j].begin
		}
		return entries[i].end < entries[j].end
	})
	var position int64
	for _, e := range entries {
		if reason := e.fault(position, body); reason != "" {
			return &FormatError{Tensor: e.name, Offset: base + e.begin, Reason: reason}
		}
		position = e.end
	}
	if position != body {
		return &FormatError{Offset: base + position, Reason: fmt.Sprintf("%d bytes after the last tensor belong to none", body-position)}
	}
	return nil
}

// readHeader reads and checks the header of a file of so many bytes. base is the place of its data.
func readHeader(file io.ReaderAt, size int64) (entries []headerEntry, meta map[string]string, base int64, err error) {
	start := make([]byte, min(size, sniffed))
	if n, err := file.ReadAt(start, 0); n < len(start) {
		return nil, nil, 0, err
	}
	if other := otherFormat(start); other != nil {
		return nil, nil, 0, other
	}
	if size < 8 {
		return nil, nil, 0, &FormatError{Reason: fmt.Sprintf("%d bytes are too few for the 8-byte header length", size)}
	}
	n := binary.LittleEndian.Uint64(start)
	if braced := len(start) > 8 && start[8] == '{'; !braced && (n > maxHeader || size > 8 && int64(n) > size-8) {
		return nil, nil, 0, notSafetensors(start)
	}
	if n > maxHeader {
		return nil, nil, 0, &FormatError{Reason: fmt.Sprintf("the header claims %d bytes, more than the %d allowed", n, maxHeader)}
	}
	if int64(n) > size-8 {
		return nil, nil, 0, &FormatError{Reason: fmt.Sprintf("the header claims %d bytes, only %d follow: the file is truncated", n, size-8)}
	}
	header := make([]byte, n)
	if k, err := file.ReadAt(header, 8); k < len(header) {
		return nil, nil, 0, err
	}
	if entries, meta, err = parseHeader(header); err != nil {
		return nil, nil, 0, err
	}
	base = 8 + int64(n)
	return entries, meta, base, checkEntries(entries, base, size-base)
}

// headerEntry is a tensor of the header. begin and end count from the end of the header.
type headerEntry struct {
	name       string
	dtype      DType
	shape      Shape
	begin, end int64
}

// fault returns the reason why the entry is no tensor at the given position of a body of that many
// bytes, "" for none.
func (e headerEntry) fault(position, body int64) string {
	switch {
	case e.begin < 0 || e.end < e.begin:
		return fmt.Sprintf("data_offsets [%d, %d] are not a range", e.begin, e.end)
	case e.end > body:
		return fmt.Sprintf("data_offsets [%d, %d] lie outside the %d bytes of data: the file is truncated", e.begin, e.end, body)
	case e.begin < position:
		return fmt.Sprintf("overlaps the tensor before it, which ends at %d", position)
	case e.begin > position:
		return fmt.Sprintf("%d bytes before it belong to no tensor", e.begin-position)
	}
	size, err := e.shape.CheckedSize()
	if err != nil {
		return err.Error()
	}
	if n, ok := e.dtype.bytes(size); !ok || int64(n) != e.end-e.begin {
		return fmt.Sprintf("shape %v of %s does not fit its %d bytes", e.shape, e.dtype, e.end-e.begin)
	}
	return ""
}

// headerParser walks the JSON header token by token: encoding/json alone would accept duplicate
// names silently.
type headerParser struct {
	json *json.Decoder
	seen map[string]bool
}

// parseHeader returns the tensors and the metadata of a header.
func parseHeader(header []byte) (entries []headerEntry, meta map[string]string, err error) {
	p := &headerParser{json.NewDecoder(bytes.NewReader(header)), map[string]bool{}}
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, p.fail("", "the header is not a JSON object")
	}
	if _, err := p.json.Token(); err != nil {
		return nil, nil, p.fail("", "header: %v", err)
	}
	for p.json.More() {
		name, err := p.name()
		if err != nil {
			return nil, nil, err
		}
		if name == "__metadata__" {
			if err := p.json.Decode(&meta); err != nil {
				return nil, nil, p.fail(name, "must map strings to strings: %v", err)
			}
			continue
		}
		e, err := p.entry(name)
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, e)
	}
	if _, err := p.json.Token(); err != nil {
		return nil, nil, p.fail("", "header: %v", err)
	}
	if rest := bytes.TrimRight(header[p.json.InputOffset():], " "); len(rest) != 0 {
		return nil, nil, p.fail("", "%d bytes follow the JSON object in the header", len(rest))
	}
	if meta == nil {
		meta = map[string]string{}
	}
	return entries, meta, nil
}

// fail returns a FormatError at the current position of the header.
func (p *headerParser) fail(tensor, format string, args ...any) error {
	return &FormatError{Tensor: tensor, Offset: 8 + p.json.InputOffset(), Reason: fmt.Sprintf(format, args...)}
}

// name reads the next name, which must be new.
func (p *headerParser) name() (string, error) {
	key, err := p.json.Token()
	if err != nil {
		return "", p.fail("", "header: %v", err)
	}
	name, ok := key.(string)
	if !ok {
		return "", p.fail("", "header: %v is not a name", key)
	}
	if p.seen[name] {
		return "", p.fail(name, "the name stands twice in the header")
	}
	p.seen[name] = true
	return name, nil
}

// entry reads the description of a tensor.
func (p *headerParser) entry(name string) (headerEntry, error) {
	e := headerEntry{name: name, shape: Shape{}}
	var shape, offsets []int64
	// A struct would take "Dtype" for "dtype", which the format does not.
	var fields map[string]json.RawMessage
	if err := p.json.Decode(&fields); err != nil {
		return e, p.fail(name, "%v", err)
	}
	for _, field := range []struct {
		key  string
		into any
	}{{"dtype", &e.dtype}, {"shape", &shape}, {"data_offsets", &offsets}} {
		text, ok := fields[field.key]
		if !ok || string(text) == "null" {
			return e, p.fail(name, "needs dtype, shape and data_offsets")
		}
		if err := json.Unmarshal(text, field.into); err != nil {
			return e, p.fail(name, "%s: %v", field.key, err)
		}
		delete(fields, field.key)
	}
	for key := range fields {
		return e, p.fail(name, "unknown field %q", key)
	}
	if bits[e.dtype] == 0 {
		return e, p.fail(name, "the type %q is none of the format's", string(e.dtype))
	}
	if len(offsets) != 2 {
		return e, p.fail(name, "data_offsets has %d numbers, not 2", len(offsets))
	}
	e.begin, e.end = offsets[0], offsets[1]
	for _, v := range shape {
		if v < 0 || int64(int(v)) != v {
			return e, p.fail(name, "%d is not a possible dimension", v)
		}
		e.shape = append(e.shape, int(v))
	}
	return e, nil
}
