package data

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vittool/vittool/data/decode"
	"github.com/vittool/vittool/data/pixels"
)

// tarFile is where the bytes of a file lie in an archive; offset is -1 for a link to nothing.
type tarFile struct{ offset, size int64 }

// tarEntry is an image inside a shard, under one of its names.
type tarEntry struct {
	name string
	tarFile
	label string
}

// openTar indexes tar shards without unpacking them; images are read in place. The order is that of
// the shard names, then of the entries inside; links are followed inside the archive. A label is
// the text of the sample's entry with the extension .cls, as WebDataset writes it, or else the
// first folder of the entry's name.
func openTar(o Options, shards []string) (Source, error) {
	slices.Sort(shards)
	s := &fileSet{options: o}
	var (
		files  []*os.File
		where  []int // entry -> files
		all    []tarEntry
		labels []string
	)
	s.close = func() error {
		var errs []error
		for _, f := range files {
			errs = append(errs, f.Close())
		}
		return errors.Join(errs...)
	}
	for _, shard := range shards {
		f, err := os.Open(shard)
		if err != nil {
			s.close()
			return nil, pathError(shard, err)
		}
		files = append(files, f)
		index, err := indexTar(f)
		if err != nil {
			err := shardError(shard, f, err)
			s.close()
			return nil, err
		}
		if n := len(index.lost); n > 0 && o.Note != nil {
			o.Note(fmt.Sprintf("%s: links that lead to nothing in it: %d, such as %s", shard, n, index.lost[0]))
		}
		for _, e := range index.entries {
			name := e.name
			if len(shards) > 1 {
				name = filepath.Base(shard) + ":" + name
			}
			s.entries = append(s.entries, entry{name: name})
			where = append(where, len(files)-1)
			labels = append(labels, e.label)
		}
		all = append(all, index.entries...)
	}
	if len(all) == 0 {
		s.close()
		return nil, problem(o.Path, "put .jpg, .png, ... files into it", "contains no images")
	}
	s.labelNumeric(labels)
	s.read = func(id int, buf []byte, most int64) ([]byte, error) {
		e := all[id]
		if e.offset < 0 {
			return nil, errors.New("it is a link to nothing in the archive")
		}
		buf = pixels.Grow(buf, int(min(e.size, most)))
		_, err := files[where[id]].ReadAt(buf, e.offset)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return buf, err
	}
	s.size = func(id int) (int64, error) { return all[id].size, nil }
	s.where = func(id int) string { return shards[where[id]] + ":" + all[id].name }
	return s, nil
}

// shardError makes an error of indexTar a data error.
func shardError(shard string, r io.ReaderAt, err error) error {
	head := make([]byte, 512)
	n, _ := r.ReadAt(head, 0)
	if name, _ := decode.Identify(head[:n]); name != "" && string(head[257:262]) != "ustar" {
		return problem(shard, "unpack it, or repack as plain .tar: shards are read in place", "is %s and not a plain tar archive", name)
	}
	return &Error{Path: shard, Problem: "cannot be indexed", Err: err, Hint: "test it with tar -tf"}
}

// indexTar lists the images of a shard, those behind links too. It reads headers and labels only.
func indexTar(r io.ReadSeeker) (*tarIndex, error) {
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	records, links, err := readHeaders(r, size)
	if err != nil {
		return nil, err
	}
	x := &tarIndex{}
	var tree *tarTree
	if links {
		tree = newTarTree(records)
	}
	for i := range records {
		rec := &records[i]
		if inSystem(rec.name) {
			continue
		}
		if rec.link == linkNone {
			x.add(rec.name, rec.tarFile)
		} else if err := x.follow(tree, rec.name); err != nil {
			return nil, err
		}
	}
	return x, x.label(r)
}

// readHeaders lists the files and links of an archive of size bytes; the second result reports
// whether there are links.
func readHeaders(r io.ReadSeeker, size int64) (records []tarRecord, links bool, err error) {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return records, links, checkEnd(r)
		}
		if err != nil {
			return nil, false, err
		}
		// Next leaves the file at the first byte of the entry's content.
		offset, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, false, err
		}
		rec := tarRecord{name: entryName(h.Name), tarFile: tarFile{offset, h.Size}}
		used := HasImageExtension(rec.name) || isLabel(rec.name)
		switch {
		case isSparse(h) && used:
			return nil, false, fmt.Errorf("entry %q is stored sparse; repack without --sparse", h.Name)
		case h.Typeflag == tar.TypeLink:
			rec.link, rec.target, links = linkHard, h.Linkname, true
		case h.Typeflag == tar.TypeSymlink:
			rec.link, rec.target, links = linkSymbolic, h.Linkname, true
		case h.Typeflag != tar.TypeReg || isSparse(h):
			continue
		case h.Size < 0 || h.Size > size-offset:
			return nil, false, fmt.Errorf("entry %q claims %d bytes at offset %d, but the file ends at %d: the shard is cut short", h.Name, h.Size, offset, size)
		}
		records = append(records, rec)
	}
}

// entryName is the path of an entry below the folder in which the archive would be unpacked.
func entryName(name string) string {
	if !strings.Contains(name, "/") { // written by a program of Windows
		name = strings.ReplaceAll(name, `\`, "/")
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// checkEnd wants nothing but padding behind the end of an archive: a second archive there would be
// overlooked.
func checkEnd(r io.ReadSeeker) error {
	const most = 1 << 20
	end, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	rest, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return err
	}
	if i := bytes.IndexFunc(rest, func(c rune) bool { return c != 0 }); i >= 0 {
		return fmt.Errorf("its end is at byte %d, and more data follows at byte %d: archives that were joined have to be given one by one", end, end+int64(i))
	}
	return nil
}

// tarIndex lists the content of a shard.
type tarIndex struct {
	entries []tarEntry
	labels  []tarEntry // files with the label of a sample
	lost    []string   // links to nothing in the archive
	linked  int        // entries that folders behind links have
}

// add adds a file under a name.
func (x *tarIndex) add(name string, f tarFile) {
	switch {
	case isLabel(name):
		x.labels = append(x.labels, tarEntry{name: name, tarFile: f})
	case HasImageExtension(name):
		label, _, inFolder := strings.Cut(name, "/")
		if !inFolder {
			label = ""
		}
		x.entries = append(x.entries, tarEntry{name: name, tarFile: f, label: label})
	}
}

// follow adds the target of a link.
func (x *tarIndex) follow(tree *tarTree, name string) error {
	found := tree.resolve(name)
	switch {
	case len(found) == 0:
		x.lost = append(x.lost, name)
		x.add(name, tarFile{offset: -1})
	case found[len(found)-1].children == nil:
		x.add(name, found[len(found)-1].tarFile)
	case slices.Contains(tree.resolve(path.Dir(name)), found[len(found)-1]):
		// a link back to a folder that contains it
	default:
		return x.folder(tree, name, found)
	}
	return nil
}

// maxLinked bounds the names behind links to folders, which may multiply each other.
const maxLinked = 1 << 18

// folder adds the files of a folder, which the last of the nodes is, under another name. Links back
// to one of the folders that lead to it are left out.
func (x *tarIndex) folder(tree *tarTree, name string, at []*tarNode) error {
	children := at[len(at)-1].children
	for _, base := range slices.Sorted(maps.Keys(children)) {
		if isSystem(base) {
			continue
		}
		if x.linked++; x.linked > maxLinked || len(at) > maxDepth {
			return fmt.Errorf("links to folders make more than %d names or %d levels; repack with --dereference", maxLinked, maxDepth)
		}
		inside := append(at[:len(at):len(at)], children[base])
		if child := children[base]; child.link != linkNone {
			target := tree.walk(at, base)
			if len(target) == 0 || slices.Contains(at, target[len(target)-1]) {
				continue
			}
			inside = append(at[:len(at):len(at)], target[len(target)-1])
		}
		last := inside[len(inside)-1]
		if last.children == nil {
			x.add(name+"/"+base, last.tarFile)
		} else if err := x.folder(tree, name+"/"+base, inside); err != nil {
			return err
		}
	}
	return nil
}

// label reads the labels of the samples, where there are any, and gives them to the images. As in
// WebDataset the files of a sample have the same path up to the first dot of their name:
// s.input.png and s.cls. Names that go on with the same words are nearer to each other: v1.2.png
// belongs to v1.2.cls, not to v1.3.cls.
func (x *tarIndex) label(r io.ReadSeeker) error {
	for _, e := range x.entries {
		if e.size > maxFileBytes {
			return fmt.Errorf("entry %q has %d bytes, more than any image", e.name, e.size)
		}
	}
	if len(x.labels) == 0 {
		return nil
	}
	byStem, byKey := map[string]string{}, map[string]string{}
	several := map[string]bool{} // keys of more than one label
	for _, l := range x.labels {
		text, err := readLabel(r, l)
		if err != nil {
			return err
		}
		stem, key := strings.TrimSuffix(l.name, path.Ext(l.name)), sampleKey(l.name)
		byStem[stem] = text
		if other, ok := byKey[key]; ok && other != text {
			several[key] = true
		}
		byKey[key] = text
	}
	for i := range x.entries {
		e := &x.entries[i]
		e.label = ""
		key := sampleKey(e.name)
		for stem := e.name; len(stem) > len(key) && e.label == ""; {
			stem = strings.TrimSuffix(stem, path.Ext(stem))
			e.label = byStem[stem]
		}
		if e.label == "" && !several[key] {
			e.label = byKey[key]
		}
	}
	return nil
}

// sampleKey is WebDataset's: the path up to the first dot of the file's name.
func sampleKey(name string) string {
	dir, base := path.Split(name)
	key, _, _ := strings.Cut(base, ".")
	return dir + key
}

func isLabel(name string) bool { return strings.EqualFold(path.Ext(name), ".cls") }

func readLabel(r io.ReadSeeker, l tarEntry) (string, error) {
	const most = 4096
	switch {
	case l.offset < 0:
		return "", fmt.Errorf("entry %q is a link to nothing in the archive", l.name)
	case l.size > most:
		return "", fmt.Errorf("entry %q has %d bytes, more than any label", l.name, l.size)
	}
	if _, err := r.Seek(l.offset, io.SeekStart); err != nil {
		return "", err
	}
	text := make([]byte, l.size)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", fmt.Errorf("entry %q: %w", l.name, err)
	}
	if !utf8.Valid(text) || bytes.ContainsRune(text, 0) {
		return "", fmt.Errorf("entry %q is not the text of a label", l.name)
	}
	return strings.TrimSpace(string(text)), nil
}

// isSparse recognizes entries whose bytes in the archive are not the file's.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}
