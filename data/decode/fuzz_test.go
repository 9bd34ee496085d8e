package decode

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path"
	"runtime/metrics"
	"strings"
	"testing"
)

func FuzzJPEG(f *testing.F)   { fuzz(f, ".jpg") }
func FuzzPNG(f *testing.F)    { fuzz(f, ".png") }
func FuzzGIF(f *testing.F)    { fuzz(f, ".gif") }
func FuzzBMP(f *testing.F)    { fuzz(f, ".bmp") }
func FuzzTIFF(f *testing.F)   { fuzz(f, ".tif") }
func FuzzWebP(f *testing.F)   { fuzz(f, ".webp") }
func FuzzNetpbm(f *testing.F) { fuzz(f, ".pbm", ".pgm", ".ppm", ".pfm") }

// FuzzOther begins with formats that are named and not read.
func FuzzOther(f *testing.F) { fuzz(f, ".avif", ".jp2") }

// fuzz mutates the files of testdata with the extensions given. Each is a whole picture or an
// error: nothing panics, and no file of some kilobytes takes more memory than the largest picture
// that is allowed.
func fuzz(f *testing.F, extensions ...string) {
	for _, root := range []fs.FS{os.DirFS("testdata"), generated(f)} {
		err := fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.Count(path.Base(name), ".") > 1 {
				return err
			}
			for _, x := range extensions {
				if path.Ext(name) == x {
					b, err := fs.ReadFile(root, name)
					if err != nil {
						return err
					}
					f.Add(b, 3)
				}
			}
			return nil
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	for _, planar := range []bool{false, true} {
		f.Add(bandsTIFF(binary.BigEndian, 3, 2, 5, 16, planar), 5)
	}
	f.Fuzz(func(t *testing.T, b []byte, channels int) {
		before := allocated()
		m, err := Decode(b, Options{Channels: channels, MaxPixels: 1 << 16})
		if n := allocated() - before; n > 100<<20 {
			t.Fatalf("%d MB for a file of %d bytes", n>>20, len(b))
		}
		if err != nil {
			if strings.Contains(err.Error(), "the decoder failed on this file") {
				t.Fatalf("a decoder panicked: %v", err)
			}
			return
		}
		if m.W <= 0 || m.H <= 0 || len(m.Pix) != m.W*m.H*m.C || m.W*m.H > 1<<16 {
			t.Fatalf("%dx%dx%d image of %d bytes", m.W, m.H, m.C, len(m.Pix))
		}
	})
}

// allocated is the memory that was ever asked for, in bytes.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func FuzzOrientation(f *testing.F) {
	b := exif([]byte("\xff\xd8\xff\xd9"), binary.LittleEndian, 6)
	f.Add(b)
	f.Add(b[12:])
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range []metadata{{exif: b}, {xmp: b}, pngMetadata(b), webpMetadata(b)} {
			if o := m.orientation(); o < 1 || o > 8 {
				t.Fatalf("orientation %d", o)
			}
		}
	})
}
