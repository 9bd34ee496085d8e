package tensor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"

	"github.com/vittool/vittool/internal/regularfile"
)

// ReadPart reads the tensors of a regular file that keep accepts by name and shape, and verifies the
// digests over all of them, without the others in memory. An error of keep comes before any tensor
// is read. ReadPart ends with ctx, also where the file system does not answer. VerifyDigest does not
// apply to the result.
func ReadPart(ctx context.Context, path string, keep func(name string, shape Shape) (bool, error)) (*File, error) {
	type result struct {
		file *File
		err  error
	}
	done := make(chan result, 1)
	go func() {
		f, err := readPart(ctx, path, keep)
		done <- result{f, err}
	}()
	select {
	case r := <-done:
		var fe *FormatError
		if errors.As(r.err, &fe) {
			fe.Path = path
		}
		return r.file, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("reading %s: %w", path, ctx.Err())
	}
}

func readPart(ctx context.Context, path string, keep func(name string, shape Shape) (bool, error)) (*File, error) {
	file, size, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	entries, meta, base, err := readHeader(file, size)
	if err != nil {
		return nil, err
	}
	kept := map[string][]byte{}
	for _, e := range entries {
		ok, err := keep(e.name, e.shape)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if ok {
			kept[e.name] = nil
		}
	}
	var tensors []Tensor
	h, chunk := sha256.New(), make([]byte, 1<<20)
	sort.Slice(entries, func(i, j int) bool { return entries[i].name < entries[j].name })
	for _, e := range entries { // as Digest
		fmt.Fprintf(h, "%q %s %v\n", e.name, e.dtype, e.shape)
		var data []byte
		_, wanted := kept[e.name]
		if wanted {
			data = make([]byte, e.end-e.begin)
			tensors = append(tensors, Tensor{Name: e.name, DType: e.dtype, Shape: e.shape, data: data})
		}
		for at := e.begin; at < e.end; {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			part := chunk[:min(int64(len(chunk)), e.end-at)]
			if wanted {
				part = data[at-e.begin:][:len(part)]
			}
			if _, err := file.ReadAt(part, base+at); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			h.Write(part)
			at += int64(len(part))
		}
	}
	f := NewFile(path, tensors, meta)
	return f, f.verify(hex.EncodeToString(h.Sum(nil)))
}

// ReadHeader reads the shapes of all tensors of a regular file, by name, and its metadata. A file
// that is not valid gives a *FormatError; digests are not compared.
func ReadHeader(path string) (shapes map[string]Shape, meta map[string]string, err error) {
	file, size, err := regularfile.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	entries, meta, _, err := readHeader(file, size)
	var fe *FormatError
	if errors.As(err, &fe) {
		fe.Path = path
	} else if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	shapes = map[string]Shape{}
	for _, e := range entries {
		shapes[e.name] = e.shape
	}
	return shapes, meta, err
}
