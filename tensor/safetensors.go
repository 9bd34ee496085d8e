package tensor

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/vittool/vittool/internal/atomicfile"
)

// maxHeader is the longest JSON header accepted, the bound of the reference
// implementation of safetensors.
const maxHeader = 100_000_000

// Keys of the metadata that guard against damage: the SHA-256 over the tensors,
// and the one over all other metadata.
const (
	digestKey         = "digest"
	metadataDigestKey = "metadata_digest"
)

// FormatError says what is wrong with a safetensors file, and where.
type FormatError struct {
	Path   string // "" when the bytes did not come from a file
	Tensor string // "" when the fault lies outside any one tensor
	Offset int64  // byte offset in the file
	Reason string
}

func (e *FormatError) Error() string {
	var b strings.Builder
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path)
	}
	b.WriteString("not a valid safetensors file: ")
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %q: ", e.Tensor)
	}
	fmt.Fprintf(&b, "%s (at byte %d)", e.Reason, e.Offset)
	return b.String()
}

// File is a safetensors file in memory: its tensors in the order of their data,
// and the strings of __metadata__.
type File struct {
	Path    string
	Tensors []Tensor
	Meta    map[string]string
	index   map[string]int
}

// NewFile returns a file in memory that holds tensors of distinct names.
func NewFile(path string, tensors []Tensor, meta map[string]string) *File {
	f := &File{Path: path, Tensors: tensors, Meta: meta, index: make(map[string]int, len(tensors))}
	for i, t := range tensors {
		f.index[t.Name] = i
	}
	return f
}

// Get returns the tensor of that name.
func (f *File) Get(name string) (Tensor, bool) {
	i, ok := f.index[name]
	if !ok {
		return Tensor{}, false
	}
	return f.Tensors[i], true
}

// Names returns all tensor names, sorted.
func (f *File) Names() []string {
	names := make([]string, 0, len(f.Tensors))
	for _, t := range f.Tensors {
		names = append(names, t.Name)
	}
	sort.Strings(names)
	return names
}

// VerifyDigest compares the SHA-256 over the tensors, and that over the metadata,
// with those stored when the file was written. A file without them is an error
// too.
func (f *File) VerifyDigest() error {
	want := f.Meta[digestKey]
	if want == "" {
		return fmt.Errorf("%s: carries no digest, so damage cannot be ruled out", f.Path)
	}
	if got := Digest(f.Tensors); got != want {
		return fmt.Errorf("%s: damaged: the SHA-256 of its tensors is %s, %s was written", f.Path, got, want)
	}
	if got, want := metadataDigest(f.Meta), f.Meta[metadataDigestKey]; got != want {
		return fmt.Errorf("%s: damaged: the SHA-256 of its metadata is %s, %q was written", f.Path, got, want)
	}
	return nil
}

// metadataDigest returns the SHA-256, in hexadecimal, over all metadata but itself.
func metadataDigest(meta map[string]string) string {
	rest := maps.Clone(meta)
	delete(rest, metadataDigestKey)
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(rest)) {
		fmt.Fprintf(h, "%q %q\n", k, rest[k])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Digest returns the SHA-256, in hexadecimal, over names, types, shapes and
// contents of the tensors, independent of their order.
func Digest(tensors []Tensor) string {
	sorted := slices.Clone(tensors)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	h := sha256.New()
	for _, t := range sorted {
		fmt.Fprintf(h, "%q %s %v\n", t.Name, t.DType, t.Shape)
		h.Write(t.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ReadSafetensors reads a whole file. What is wrong with a file that is not
// valid is told by a *FormatError.
func ReadSafetensors(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := DecodeSafetensors(data)
	var fe *FormatError
	if errors.As(err, &fe) {
		fe.Path = path
	}
	if err != nil {
		return nil, err
	}
	f.Path = path
	return f, nil
}

// header entries as they stand in the JSON.
type headerEntry struct {
	name  string
	dtype DType
	shape Shape
	begin int64
	end   int64
}

// DecodeSafetensors parses the bytes of a file; the tensors refer to data and
// do not copy it. It is strict: the header's length, its JSON, every type, shape
// and offset must be valid, names unique, and the tensors must cover the data
// without gap or overlap. It never panics.
func DecodeSafetensors(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, &FormatError{Reason: fmt.Sprintf("%d bytes are too few for the 8-byte header length", len(data))}
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader {
		return nil, &FormatError{Reason: fmt.Sprintf("the header claims %d bytes, more than the %d allowed", n, maxHeader)}
	}
	if n > uint64(len(data)-8) {
		return nil, &FormatError{Reason: fmt.Sprintf("the header claims %d bytes, only %d follow: the file is truncated", n, len(data)-8)}
	}
	header, body := data[8:8+n], data[8+n:]
	entries, meta, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	sort.SliceStable(entries, func(i, j int) bool {
		if entries[i].begin != entries[j].begin {
			return entries[i].begin < entries[j].begin
		}
		return entries[i].end < entries[j].end
	})
	f := &File{Meta: meta, Tensors: make([]Tensor, 0, len(entries)), index: make(map[string]int, len(entries))}
	base := int64(8 + n)
	var position int64
	for _, e := range entries {
		fail := func(format string, args ...any) error {
			return &FormatError{Tensor: e.name, Offset: base + e.begin, Reason: fmt.Sprintf(format, args...)}
		}
		if e.begin < 0 || e.end < e.begin {
			return nil, fail("data_offsets [%d, %d] are not a range", e.begin, e.end)
		}
		if e.end > int64(len(body)) {
			return nil, fail("data_offsets [%d, %d] lie outside the %d bytes of data: the file is truncated", e.begin, e.end, len(body))
		}
		if e.begin != position {
			if e.begin < position {
				return nil, fail("overlaps the tensor before it, which ends at %d", position)
			}
			return nil, fail("%d bytes before it belong to no tensor", e.begin-position)
		}
		size, err := e.shape.CheckedSize()
		if err != nil {
			return nil, fail("%v", err)
		}
		if width := e.dtype.Size(); int64(size) > int64(len(body)) || int64(size*width) != e.end-e.begin {
			return nil, fail("shape %v of %s does not fit its %d bytes", e.shape, e.dtype, e.end-e.begin)
		}
		position = e.end
		f.index[e.name] = len(f.Tensors)
		f.Tensors = append(f.Tensors, Tensor{Name: e.name, DType: e.dtype, Shape: e.shape, data: body[e.begin:e.end:e.end]})
	}
	if position != int64(len(body)) {
		return nil, &FormatError{Offset: base + position, Reason: fmt.Sprintf("%d bytes after the last tensor belong to none", int64(len(body))-position)}
	}
	return f, nil
}

// parseHeader walks the JSON token by token, because encoding/json would accept
// duplicate names silently.
func parseHeader(header []byte) ([]headerEntry, map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(header))
	fail := func(tensor, format string, args ...any) error {
		return &FormatError{Tensor: tensor, Offset: 8 + d.InputOffset(), Reason: fmt.Sprintf(format, args...)}
	}
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, fail("", "the header is not a JSON object")
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, fail("", "header: %v", err)
	}
	var entries []headerEntry
	meta := map[string]string{}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, nil, fail("", "header: %v", err)
		}
		name, ok := key.(string)
		if !ok {
			return nil, nil, fail("", "header: %v is not a name", key)
		}
		if seen[name] {
			return nil, nil, fail(name, "the name stands twice in the header")
		}
		seen[name] = true
		if name == "__metadata__" {
			if err := d.Decode(&meta); err != nil {
				return nil, nil, fail(name, "must map strings to strings: %v", err)
			}
			if meta == nil {
				meta = map[string]string{}
			}
			continue
		}
		// A struct would take "Dtype" for "dtype", which the format does not.
		var fields map[string]json.RawMessage
		if err := d.Decode(&fields); err != nil {
			return nil, nil, fail(name, "%v", err)
		}
		var dtype string
		var shape, offsets []int64
		for _, field := range []struct {
			key  string
			into any
		}{{"dtype", &dtype}, {"shape", &shape}, {"data_offsets", &offsets}} {
			text, ok := fields[field.key]
			if !ok || string(text) == "null" {
				return nil, nil, fail(name, "needs dtype, shape and data_offsets")
			}
			if err := json.Unmarshal(text, field.into); err != nil {
				return nil, nil, fail(name, "%s: %v", field.key, err)
			}
			delete(fields, field.key)
		}
		for key := range fields {
			return nil, nil, fail(name, "unknown field %q", key)
		}
		e := headerEntry{name: name, dtype: DType(dtype), shape: Shape{}}
		if e.dtype.Size() == 0 {
			return nil, nil, fail(name, "type %q is not supported (F64, F32, F16, BF16, I64, I32, U8 are)", dtype)
		}
		if len(offsets) != 2 {
			return nil, nil, fail(name, "data_offsets has %d numbers, not 2", len(offsets))
		}
		e.begin, e.end = offsets[0], offsets[1]
		for _, v := range shape {
			if v < 0 || int64(int(v)) != v {
				return nil, nil, fail(name, "%d is not a possible dimension", v)
			}
			e.shape = append(e.shape, int(v))
		}
		entries = append(entries, e)
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, fail("", "header: %v", err)
	}
	if rest := bytes.TrimRight(header[d.InputOffset():], " "); len(rest) != 0 {
		return nil, nil, fail("", "%d bytes follow the JSON object in the header", len(rest))
	}
	return entries, meta, nil
}

// WriteSafetensors writes a file atomically. The widest types come first and the
// header is padded to eight bytes, so that every tensor is naturally aligned.
// The metadata gets a "digest" of the tensors and a "metadata_digest" of itself;
// meta is not changed. The
// same tensors and metadata always give the same bytes.
func WriteSafetensors(path string, tensors []Tensor, meta map[string]string) error {
	return atomicfile.Write(path, func(w io.Writer) error { return EncodeSafetensors(w, tensors, meta) })
}

// EncodeSafetensors writes what WriteSafetensors puts into a file.
func EncodeSafetensors(w io.Writer, tensors []Tensor, meta map[string]string) error {
	ordered := slices.Clone(tensors)
	sort.SliceStable(ordered, func(i, j int) bool { return ordered[i].DType.Size() > ordered[j].DType.Size() })
	all := map[string]string{}
	for k, v := range meta {
		all[k] = v
	}
	all[digestKey] = Digest(tensors)
	all[metadataDigestKey] = metadataDigest(all)
	var header bytes.Buffer
	m, err := json.Marshal(all) // sorts the keys
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	header.WriteString(`{"__metadata__":`)
	header.Write(m)
	seen := map[string]bool{"__metadata__": true}
	offset := 0
	for _, t := range ordered {
		if seen[t.Name] {
			return fmt.Errorf("tensor name %q is used twice or reserved", t.Name)
		}
		seen[t.Name] = true
		if t.DType.Size() == 0 || t.Shape.Size()*t.DType.Size() != len(t.data) {
			return fmt.Errorf("tensor %q: %d bytes do not make %v of %s", t.Name, len(t.data), t.Shape, t.DType)
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return fmt.Errorf("tensor name %q: %w", t.Name, err)
		}
		shape, err := json.Marshal(append([]int{}, t.Shape...)) // [] rather than null for a scalar
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		fmt.Fprintf(&header, `,%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, name, t.DType, shape, offset, offset+len(t.data))
		offset += len(t.data)
	}
	header.WriteByte('}')
	for header.Len()%8 != 0 {
		header.WriteByte(' ')
	}
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(header.Len()))
	if _, err := w.Write(length[:]); err != nil {
		return err
	}
	if _, err := w.Write(header.Bytes()); err != nil {
		return err
	}
	for _, t := range ordered {
		if _, err := w.Write(t.data); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	return nil
}
