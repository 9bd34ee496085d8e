package data

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// tarEntry is an image inside a shard: its bytes lie at offset in the file.
type tarEntry struct {
	name         string
	offset, size int64
	label        string
}

// openTar indexes tar shards without unpacking them; images are read in
// place. The order is that of the shard names, then of the entries inside. A
// label is the text of the entry with the same name and the extension .cls,
// as WebDataset writes it, or else the first folder of the entry's name.
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
		entries, err := indexTar(f)
		if err != nil {
			s.close()
			return nil, &Error{Path: shard, Problem: "cannot be indexed", Err: err, Hint: "test it with tar -tf"}
		}
		for _, e := range entries {
			name := e.name
			if len(shards) > 1 {
				name = filepath.Base(shard) + ":" + name
			}
			s.entries = append(s.entries, entry{name: name})
			where = append(where, len(files)-1)
			labels = append(labels, e.label)
		}
		all = append(all, entries...)
	}
	if len(all) == 0 {
		s.close()
		return nil, problem(o.Path, "put .jpg, .png, ... files into it", "contains no images")
	}
	s.labelNumeric(labels)
	s.read = func(id int, buf []byte) ([]byte, error) {
		e := all[id]
		if cap(buf) < int(e.size) {
			buf = make([]byte, e.size)
		}
		buf = buf[:e.size]
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

// indexTar walks the headers of a shard.
func indexTar(r io.ReadSeeker) ([]tarEntry, error) {
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var entries []tarEntry
	classes := map[string]string{} // name without extension -> label
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		// Next leaves the file at the first byte of the entry's content.
		offset, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		name := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || strings.HasPrefix(path.Base(name), ".") {
			continue
		}
		if isSparse(h) {
			return nil, fmt.Errorf("entry %q is stored sparse; repack without --sparse", h.Name)
		}
		if h.Size < 0 || h.Size > size-offset {
			return nil, fmt.Errorf("entry %q claims %d bytes at offset %d, but the file ends at %d: the shard is cut short", h.Name, h.Size, offset, size)
		}
		key := strings.TrimSuffix(name, path.Ext(name))
		switch {
		case HasImageExtension(name):
			if h.Size > maxFileBytes {
				return nil, fmt.Errorf("entry %q has %d bytes, more than any image", h.Name, h.Size)
			}
			label, _, inFolder := strings.Cut(name, "/")
			if !inFolder {
				label = ""
			}
			entries = append(entries, tarEntry{name: name, offset: offset, size: h.Size, label: label})
		case path.Ext(name) == ".cls" && h.Size <= 4096:
			text, err := io.ReadAll(t)
			if err != nil {
				return nil, fmt.Errorf("entry %q: %w", h.Name, err)
			}
			classes[key] = strings.TrimSpace(string(text))
		}
	}
	if len(classes) > 0 {
		for i, e := range entries {
			entries[i].label = classes[strings.TrimSuffix(e.name, path.Ext(e.name))]
		}
	}
	return entries, nil
}

// isSparse recognises entries whose bytes in the archive are not the file's.
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
