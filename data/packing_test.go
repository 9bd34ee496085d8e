package data_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/internal/must"
)

// packOf packs a source and opens the pack.
func packOf(t testing.TB, s data.Source, o data.PackOptions) (data.Source, *data.PackReport) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "packed")
	r := must.Get(data.Pack(t.Context(), s, dir, o))(t)
	return open(t, dir), r
}

// TestPackSameBits: batches from a pack are those from the folder, unreadable files and all.
func TestPackSameBits(t *testing.T) {
	dir := jpegFolder(t, 24, 75, 50)
	for _, name := range []string{"0003.jpg", "0011.jpg"} {
		write(t, filepath.Join(dir, name), []byte("\xff\xd8\xff\xe0 nothing"))
	}
	s := open(t, dir)
	for _, o := range []data.PackOptions{{}, {ShortSide: 50, Workers: 1}, {ShortSide: 64, Workers: 3, ShardBytes: 20000}} {
		o.MaxFailed = 0.1
		p, r := packOf(t, s, o)
		if r.Images != 24 || r.Skipped != 2 || r.Shortened != 0 {
			t.Errorf("%+v", *r)
		}
		if p.Len() != s.Len() || p.Fingerprint() != s.Fingerprint() || !slices.Equal(p.Classes(), s.Classes()) {
			t.Errorf("%d images with fingerprint %s", p.Len(), p.Fingerprint())
		}
		for id := range s.Len() {
			if p.Name(id) != s.Name(id) || p.Class(id) != s.Class(id) {
				t.Errorf("image %d is %q of class %d", id, p.Name(id), p.Class(id))
			}
		}
		l := data.LoaderOptions{Views: busyViews(), BatchSize: 5, Seed: 9, Shuffle: true, Epochs: 2, Workers: 2, MaxFailed: 0.1}
		want := run(t, s, l, 0)
		for _, cache := range []int64{0, 1 << 20} {
			l.CacheBytes = cache
			if got := run(t, p, l, 0); !slices.Equal(got, want) {
				t.Errorf("%+v, cache %d: other batches than from the folder", o, cache)
			}
		}
	}
}

// TestPackShortens: a larger image has the size and the pixels of Pillow's bicubic resize, and the
// pack is other data than the folder.
func TestPackShortens(t *testing.T) {
	s := open(t, jpegFolder(t, 8, 75, 50))
	p, r := packOf(t, s, data.PackOptions{ShortSide: 32})
	if r.Shortened != 8 || p.Fingerprint() == s.Fingerprint() {
		t.Errorf("%+v, fingerprint %s", *r, p.Fingerprint())
	}
	var resizer pixels.Resizer
	for id := range 8 {
		m := must.Get(s.Image(id))(t)
		w, h := pixels.ShortSide(m.W, m.H, 32)
		var want pixels.Image
		resizer.Resize(&want, m, m.Bounds(), w, h, pixels.Bicubic)
		got := must.Get(p.Image(id))(t)
		if min(got.W, got.H) != 32 || got.W != w || !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("image %d is %dx%d", id, got.W, got.H)
		}
	}
	_, err := data.Pack(t.Context(), p, filepath.Join(t.TempDir(), "again"), data.PackOptions{})
	var e *data.Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "pack of shortened images") {
		t.Errorf("packing it again: %v", err)
	}
}

// TestPackStops: an interrupt leaves shards that the next call uses, or no folder at all.
func TestPackStops(t *testing.T) {
	s := open(t, jpegFolder(t, 24, 75, 50))
	whole := filepath.Join(t.TempDir(), "whole")
	o := data.PackOptions{ShardBytes: 30000, Workers: 2}
	if _, err := data.Pack(t.Context(), s, whole, o); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{1, 2, 5, 12, 23, 24} {
		dir := filepath.Join(t.TempDir(), "p")
		ctx, cancel := context.WithCancel(t.Context())
		o.Progress = func(done int) {
			if done == at {
				cancel()
			}
		}
		if _, err := data.Pack(ctx, s, dir, o); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at %d: %v", at, err)
		}
		if _, err := os.Stat(dir); at == 1 && err == nil {
			t.Error("an empty folder is left")
		}
		if at > 6 {
			_, err := data.Open(data.Options{Path: dir})
			expectData(t, err, dir, "not finished")
		}
		o.Progress = nil
		r := must.Get(data.Pack(t.Context(), s, dir, o))(t)
		if at > 6 && r.Resumed == 0 {
			t.Errorf("stopped at %d, and began anew", at)
		}
		if err := sameFiles(dir, whole); err != nil {
			t.Errorf("stopped at %d: %v", at, err)
		}
	}
}

func sameFiles(a, b string) error {
	list, err := os.ReadDir(b)
	if err != nil {
		return err
	}
	other, err := os.ReadDir(a)
	if err != nil || len(other) != len(list) {
		return errors.Join(err, errors.New("another number of files"))
	}
	for _, e := range list {
		x, err := os.ReadFile(filepath.Join(a, e.Name()))
		if err != nil {
			return err
		}
		y, err := os.ReadFile(filepath.Join(b, e.Name()))
		if err != nil {
			return err
		}
		if !bytes.Equal(x, y) {
			return errors.New(e.Name() + " differs")
		}
	}
	return nil
}

func TestPackRefuses(t *testing.T) {
	dir := jpegFolder(t, 10, 20, 20)
	write(t, filepath.Join(dir, "0004.jpg"), []byte("\xff\xd8\xff\xe0"))
	s := open(t, dir)
	to := filepath.Join(t.TempDir(), "p")
	_, err := data.Pack(t.Context(), s, to, data.PackOptions{OnError: data.Fail})
	expectData(t, err, filepath.Join(dir, "0004.jpg"), "cannot be decoded")
	_, err = data.Pack(t.Context(), s, to, data.PackOptions{MaxFailed: 0.05})
	expectData(t, err, "", "1 of 10 images")
	if _, err := os.Stat(to); err == nil {
		t.Error("a folder is left")
	}
	_, err = data.Pack(t.Context(), s, dir, data.PackOptions{MaxFailed: 0.1})
	expectData(t, err, dir, "is not empty")
	packed := filepath.Join(t.TempDir(), "gray")
	if _, err := data.Pack(t.Context(), s, packed, data.PackOptions{MaxFailed: 0.1}); err != nil {
		t.Fatal(err)
	}
	_, err = data.Open(data.Options{Path: packed, Channels: 1})
	expectData(t, err, packed, "3 channels and data.channels is 1")
}
