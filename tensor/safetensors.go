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

// Metadata keys of the digests against damage: the SHA-256 over the tensors and that over all other
// metadata.
const (
	digestKey         = "digest"
	metadataDigestKey = "metadata_digest"
)

// FormatError is a fault of a safetensors file and its place, or the format that a file has instead.
type FormatError struct {
	Path   string // "" for bytes that are not from a file
	Tensor string // "" for a fault outside any one tensor
	Offset int64  // byte offset in the file
	Reason string

	Format string // of a file in another well-known format, "" for none; the fields above but Path are then empty
	Remedy string // for a file in that format
}

func (e *FormatError) Error() string {
	var b strings.Builder
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path)
	}
	if e.Format != "" {
		fmt.Fprintf(&b, "this is %s, not a safetensors file; %s", e.Format, e.Remedy)
		return b.String()
	}
	b.WriteString("not a valid safetensors file: ")
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %q: ", e.Tensor)
	}
	fmt.Fprintf(&b, "%s (at byte %d)", e.Reason, e.Offset)
	return b.String()
}

// File is a safetensors file in memory: its tensors in the order of their data, and the strings of
// __metadata__.
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

// VerifyDigest compares the SHA-256 over the tensors, and that over the metadata, with those stored
// in the file. A file without them is an error too.
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

// Digest returns the SHA-256, in hexadecimal, over names, types, shapes and contents of the
// tensors, independent of their order.
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

// ReadSafetensors reads a whole file. A file that is not valid gives a *FormatError.
func ReadSafetensors(path string) (*File, error) {
	f, err := readSafetensors(path)
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

// readSafetensors looks at the first bytes before it reads the rest, which may be gigabytes of
// another format.
func readSafetensors(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	start := make([]byte, sniffed)
	n, err := io.ReadFull(file, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if other := otherFormat(start[:n]); other != nil {
		return nil, other
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return DecodeSafetensors(data)
}

// WriteSafetensors writes a file atomically. The widest types come first and the header is padded
// to eight bytes, so that every tensor is naturally aligned. The file's metadata are meta, a
// "digest" of the tensors and a "metadata_digest" of the metadata. Equal tensors and metadata
// always give equal bytes.
func WriteSafetensors(path string, tensors []Tensor, meta map[string]string) error {
	return atomicfile.Write(path, func(w io.Writer) error { return EncodeSafetensors(w, tensors, meta) })
}

// EncodeSafetensors writes the bytes of a file as WriteSafetensors does.
func EncodeSafetensors(w io.Writer, tensors []Tensor, meta map[string]string) error {
	ordered := slices.Clone(tensors)
	sort.SliceStable(ordered, func(i, j int) bool { return ordered[i].DType.Size() > ordered[j].DType.Size() })
	header, err := encodeHeader(ordered, meta)
	if err != nil {
		return err
	}
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(header)))
	for _, part := range [][]byte{length[:], header} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	for _, t := range ordered {
		if _, err := w.Write(t.data); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// encodeHeader returns the padded JSON header of a file with tensors in this order.
func encodeHeader(ordered []Tensor, meta map[string]string) ([]byte, error) {
	all := map[string]string{}
	maps.Copy(all, meta)
	all[digestKey] = Digest(ordered)
	all[metadataDigestKey] = metadataDigest(all)
	var header bytes.Buffer
	m, err := json.Marshal(all) // sorts the keys
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	header.WriteString(`{"__metadata__":`)
	header.Write(m)
	seen := map[string]bool{"__metadata__": true}
	offset := 0
	for _, t := range ordered {
		if seen[t.Name] {
			return nil, fmt.Errorf("tensor name %q is used twice or reserved", t.Name)
		}
		seen[t.Name] = true
		if n, ok := t.DType.bytes(t.Shape.Size()); !ok || n != len(t.data) {
			return nil, fmt.Errorf("tensor %q: %d bytes do not make %v of %s", t.Name, len(t.data), t.Shape, t.DType)
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return nil, fmt.Errorf("tensor name %q: %w", t.Name, err)
		}
		shape, err := json.Marshal(append([]int{}, t.Shape...)) // [] rather than null for a scalar
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		fmt.Fprintf(&header, `,%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, name, t.DType, shape, offset, offset+len(t.data))
		offset += len(t.data)
	}
	header.WriteByte('}')
	for header.Len()%8 != 0 {
		header.WriteByte(' ')
	}
	return header.Bytes(), nil
}
