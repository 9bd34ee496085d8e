package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vittool/vittool/data/decode"
	"github.com/vittool/vittool/data/pack"
	"github.com/vittool/vittool/data/pixels"
)

// Source is an ordered set of images. A sample id is a place in that order, 0 <= id < Len(), and
// means the same image in every run over the same data. Methods may be called from several
// goroutines.
type Source interface {
	Len() int
	// Name is the name of an image for the user: a path relative to the source, an entry of a
	// shard, the number of a scene.
	Name(id int) string
	// Class is an index into Classes, or -1 for an image without a label.
	Class(id int) int
	// Classes lists the class names, sorted; nil when nothing is labelled.
	Classes() []string
	// Fingerprint identifies the content: a hash over names and sizes.
	Fingerprint() string
	// Image decodes a sample. The caller must not modify the result.
	Image(id int) (*pixels.Image, error)
	// Channels of every image that Image returns.
	Channels() int
	Close() error
}

// Options are the place of images and the settings of their decoding.
type Options struct {
	// Path is a folder, a list file (.txt, .csv, .tsv), a tar shard (.tar) or a pattern of such, a
	// folder that Pack has written, or demo: with options, as in demo:?count=2000&size=64.
	Path string
	// Channels of the decoded images: 1, 3 or the bands of multi-band files. 0 means 3.
	Channels int
	// MaxPixels bounds the size a header may claim; 0 means decode.DefaultMaxPixels.
	MaxPixels int64
	// Note receives a message about data that is left out on purpose; may be nil.
	Note func(message string)
}

func (o Options) decode() decode.Options {
	return decode.Options{Channels: o.channels(), MaxPixels: o.MaxPixels}
}

func (o Options) channels() int {
	if o.Channels == 0 {
		return 3
	}
	return o.Channels
}

// Open recognizes the kind of source that Path is and indexes it. Errors about the data are of type
// *Error.
func Open(o Options) (Source, error) {
	if o.Path == "" {
		return nil, problem("data.path", "name a folder of images, a list file, a .tar shard or demo:", "no data given")
	}
	if o.channels() < 1 || o.channels() > 64 {
		return nil, problem("data.channels", "use 1 for gray, 3 for color, or the number of bands of your files", "%d channels", o.Channels)
	}
	if o.MaxPixels < 0 {
		return nil, problem("data.max_pixels", "use 0 for the default", "%d pixels", o.MaxPixels)
	}
	if strings.HasPrefix(o.Path, "demo:") {
		return openDemo(o)
	}
	if strings.Contains(o.Path, "://") {
		return nil, problem(o.Path, "download the images first", "is an address, not a path")
	}
	info, err := os.Stat(o.Path)
	if err != nil {
		if shards, globErr := filepath.Glob(o.Path); globErr == nil && len(shards) > 0 {
			return openTar(o, shards)
		}
		return nil, pathError(o.Path, err)
	}
	if info.IsDir() && pack.Is(o.Path) {
		return openPack(o, o.Path)
	}
	if info.IsDir() {
		return openFolder(o)
	}
	switch ext := strings.ToLower(filepath.Ext(o.Path)); {
	case ext == ".txt" || ext == ".csv" || ext == ".tsv":
		return openList(o)
	case ext == ".tar":
		return openTar(o, []string{o.Path})
	case ext == ".tgz" || strings.HasSuffix(strings.ToLower(o.Path), ".tar.gz") || ext == ".zip":
		return nil, problem(o.Path, "unpack it, or repack as plain .tar: shards are read in place", "compressed archives cannot be read")
	}
	return nil, problem(o.Path, "give a folder, a list file (.txt, .csv, .tsv) or a .tar shard", "is a file of a kind that is no data source")
}

// pathError makes an error of the file system about a path a data error.
func pathError(path string, err error) *Error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Path: path, Problem: "does not exist", Hint: "check --data, the setting data.path" + nearby(path)}
	case errors.Is(err, fs.ErrPermission):
		return &Error{Path: path, Problem: "cannot be read: permission denied", Hint: "check its owner and mode"}
	}
	return &Error{Path: path, Problem: "cannot be read", Err: err}
}

// nearby names the part of a missing path that does exist.
func nearby(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			return fmt.Sprintf(" (%s exists)", dir)
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// entry is one image of a fileSet.
type entry struct {
	name  string
	class int32 // -1 without label
}

// fileSet is a Source over encoded files, wherever their bytes come from.
type fileSet struct {
	options Options
	entries []entry
	classes []string
	// read returns the first bytes of a file, all where it has no more than most, in buf where that
	// is large enough.
	read func(id int, buf []byte, most int64) ([]byte, error)
	// size returns the length of a file without reading it.
	size func(id int) (int64, error)
	// where is the name by which the user finds a file; nil means name.
	where func(id int) string
	// listed names the line of the list that a file stands in; may be nil.
	listed func(id int) string
	close  func() error

	print   sync.Once
	printed string
	largest int // id of the largest file, known with the fingerprint
}

func (s *fileSet) Len() int           { return len(s.entries) }
func (s *fileSet) Name(id int) string { return s.entries[id].name }
func (s *fileSet) Class(id int) int   { return int(s.entries[id].class) }
func (s *fileSet) Classes() []string  { return s.classes }
func (s *fileSet) Channels() int      { return s.options.channels() }

func (s *fileSet) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

func (s *fileSet) place(id int) string {
	if s.where == nil {
		return s.entries[id].name
	}
	return s.where(id)
}

// readers recycles the readers of Image.
var readers = sync.Pool{New: func() any { return &fileReader{} }}

func (s *fileSet) Image(id int) (*pixels.Image, error) {
	r := readers.Get().(*fileReader)
	defer readers.Put(r)
	r.set = s
	w, h, err := r.open(id)
	if err != nil {
		return nil, err
	}
	m := &pixels.Image{}
	if err := r.part(m, pixels.Rect{W: w, H: h}, true); err != nil {
		return nil, err
	}
	return m, nil
}

// Fingerprint hashes names and sizes in order. It looks at every file once, at the first call.
func (s *fileSet) Fingerprint() string {
	s.print.Do(func() {
		h := sha256.New()
		most := int64(0)
		for id, e := range s.entries {
			n, err := s.size(id)
			if err != nil {
				// A file that cannot be read is part of the data too.
				n = -1
			}
			if n > most {
				most, s.largest = n, id
			}
			fmt.Fprintf(h, "%q %d %d\n", e.name, n, e.class)
		}
		for _, c := range s.classes {
			fmt.Fprintf(h, "class %q\n", c)
		}
		s.printed = "sha256:" + hex.EncodeToString(h.Sum(nil))
	})
	return s.printed
}

// maxFileBytes bounds the file of one image, in bytes.
const maxFileBytes = 1 << 30

// onDisk makes s a set of files of their own at the paths that where gives.
func (s *fileSet) onDisk(where func(id int) string) {
	s.where = where
	s.read = func(id int, buf []byte, most int64) ([]byte, error) { return readFile(where(id), buf, most) }
	s.size = func(id int) (int64, error) {
		info, err := os.Stat(where(id))
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
}

// readFile reads a file, or the first bytes of one that has more than most, into buf where it is
// large enough.
func readFile(path string, buf []byte, most int64) ([]byte, error) {
	// Looked at before it is opened: opening a pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is not a regular file (%v)", info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("it has %d bytes, more than any image (%d)", info.Size(), maxFileBytes)
	}
	buf = pixels.Grow(buf, int(min(info.Size(), most)))
	if k, err := io.ReadFull(f, buf); err != nil {
		return buf, fmt.Errorf("only %d of %d bytes could be read: %w", k, len(buf), err)
	}
	return buf, nil
}

// label gives entries their class indices from class names, "" meaning none, and sets the sorted
// list of classes.
func (s *fileSet) label(names []string) {
	set := map[string]int32{}
	for _, n := range names {
		if n != "" {
			set[n] = 0
		}
	}
	for n := range set {
		s.classes = append(s.classes, n)
	}
	slices.Sort(s.classes)
	for i, n := range s.classes {
		set[n] = int32(i)
	}
	for i, n := range names {
		s.entries[i].class = -1
		if n != "" {
			s.entries[i].class = set[n]
		}
	}
}
