package decode

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

const readable = "readable are JPEG, PNG, GIF, WebP, TIFF, BMP and PNM (PBM, PGM, PPM)"

// Advice on files that are not read.
const (
	convertIt = "convert it to PNG or JPEG"
	framesOf  = "extract its frames as JPEG or PNG, with ffmpeg for example"
	arrayOf   = "save its pictures as PNG files"
	unpackIt  = "unpack it"
	notImage  = "this file holds no picture; leave it out of the data"
)

// foreign lists well-known formats by their first bytes.
var foreign = []struct {
	at       int
	magic    string
	name, do string
}{
	{0, "\x00\x00\x00\x0cjP  \r\n\x87\n", "a JPEG 2000 image", convertIt},
	{0, "\xff\x4f\xff\x51", "a JPEG 2000 codestream", convertIt},
	{0, "\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL image", convertIt},
	{0, "\xff\x0a", "a JPEG XL image", convertIt},
	{0, "\xff\xd8", "a damaged JPEG: no marker follows its first", "copy it again"},
	{0, "\xff\xf7", "not a JPEG but MPEG audio or JPEG-LS", convertIt},
	{0, "II\xbc", "a JPEG XR image", convertIt},
	{0, "8BPS", "a Photoshop document (PSD)", convertIt},
	{128, "DICM", "a DICOM file", "export its pictures as PNG, with dcm2img or pydicom for example"},
	{0, "%PDF", "a PDF document", "render its pages as PNG, with pdftoppm for example"},
	{0, "%!PS", "a PostScript document", "render it as PNG"},
	{0, "\xc5\xd0\xd3\xc6", "an EPS document", "render it as PNG"},
	{0, "\x93NUMPY", "a NumPy array (npy)", arrayOf},
	{0, "\x89HDF\r\n\x1a\n", "an HDF5 file", arrayOf},
	{0, "\x0e\x03\x13\x01", "an HDF4 file", arrayOf},
	{0, "CDF\x01", "a NetCDF file", arrayOf},
	{0, "CDF\x02", "a NetCDF file", arrayOf},
	{0, "SIMPLE  =", "a FITS image", convertIt},
	{0, "\x76\x2f\x31\x01", "an OpenEXR image", convertIt},
	{0, "#?RADIANCE", "a Radiance HDR image", convertIt},
	{0, "qoif", "a QOI image", convertIt},
	{0, "DDS ", "a DirectDraw surface (DDS)", convertIt},
	{0, "\xabKTX", "a KTX texture", convertIt},
	{0, "\x00\x00\x01\x00", "a Windows icon (ICO)", convertIt},
	{0, "\x00\x00\x02\x00", "a Windows cursor (CUR)", convertIt},
	{0, "icns", "an Apple icon", convertIt},
	{0, "gimp xcf", "a GIMP document (XCF)", convertIt},
	{0, "P7\n", "a PAM image", convertIt},
	{0, "PF\n", "a PFM image in colour", convertIt},
	{0, "AT&TFORM", "a DjVu document", "render its pages as PNG"},
	{0, "\xd7\xcd\xc6\x9a", "a Windows metafile", convertIt},
	{0, "BPG\xfb", "a BPG image", convertIt},
	{0, "FLIF", "a FLIF image", convertIt},
	{0, "FUJIFILMCCD-RAW", "a camera's raw file", convertIt},
	{0, "IIRO", "a camera's raw file", convertIt},
	{0, "IIU\x00", "a camera's raw file", convertIt},
	{0, "\x01\xda\x01", "an SGI image", convertIt},
	{0, "\x01\xda\x00", "an SGI image", convertIt},
	{0, "\x59\xa6\x6a\x95", "a Sun raster image", convertIt},
	{0, "\x0a\x05\x01\x08", "a PCX image", convertIt},
	{0, "\x5c\x01\x00\x00", "a NIfTI volume", "save its slices as PNG"},
	{0, "\x00\x00\x01\x5c", "a NIfTI volume", "save its slices as PNG"},

	{0, "\x1a\x45\xdf\xa3", "a video (Matroska or WebM)", framesOf},
	{0, "\x00\x00\x01\xba", "a video (MPEG)", framesOf},
	{0, "\x00\x00\x01\xb3", "a video (MPEG)", framesOf},
	{0, "FLV\x01", "a video (Flash)", framesOf},
	{0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a video or sound (Windows Media)", framesOf},
	{0, "OggS", "a video or sound (Ogg)", framesOf},
	{4, "moov", "a video (QuickTime)", framesOf},
	{4, "mdat", "a video (QuickTime)", framesOf},
	{4, "wide", "a video (QuickTime)", framesOf},

	{0, "\x1f\x8b", "a gzip archive", unpackIt},
	{0, "BZh", "a bzip2 archive", unpackIt},
	{0, "\xfd7zXZ\x00", "an xz archive", unpackIt},
	{0, "\x28\xb5\x2f\xfd", "a zstd archive", unpackIt},
	{0, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive", unpackIt},
	{0, "Rar!\x1a\x07", "a RAR archive", unpackIt},
	{257, "ustar", "a tar archive", "give it as --data with the extension .tar"},
	{0, "PAR1", "a Parquet file", arrayOf},
	{0, "SQLite format 3\x00", "an SQLite database", notImage},
	{0, "ID3", "a sound (MP3)", notImage},
	{0, "fLaC", "a sound (FLAC)", notImage},
	{0, "MThd", "a sound (MIDI)", notImage},
	{0, "GGUF", "a model (GGUF)", notImage},
	{0, "\x80\x02", "a Python pickle", notImage},
	{0, "\x80\x03", "a Python pickle", notImage},
	{0, "\x80\x04", "a Python pickle", notImage},
	{0, "\x80\x05", "a Python pickle", notImage},
	{0, "\x7fELF", "a program", notImage},
	{0, "MZ", "a Windows program", notImage},
	{0, "\x00\x05\x16\x07", "a macOS resource fork (a ._ file)", notImage},
	{0, "\x00\x05\x16\x00", "a macOS resource fork", notImage},
	{0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document, or thumbnails (Thumbs.db)", notImage},
	{0, "version https://git-lfs.github.com/spec/", "a pointer of Git LFS and not the file itself", "run git lfs pull"},
}

// brands are the kinds of files that begin with an ftyp box.
var brands = map[string]struct{ name, do string }{
	"avif": {"an AVIF image", convertIt}, "avis": {"an AVIF sequence", convertIt},
	"heic": {"a HEIC image", convertIt}, "heix": {"a HEIC image", convertIt}, "heim": {"a HEIC image", convertIt},
	"heis": {"a HEIC image", convertIt}, "hevc": {"a HEIC sequence", convertIt}, "hevx": {"a HEIC sequence", convertIt},
	"mif1": {"a HEIF image (HEIC or AVIF)", convertIt}, "msf1": {"a HEIF sequence (HEIC or AVIF)", convertIt},
	"crx ": {"a camera's raw file (CR3)", convertIt}, "jp2 ": {"a JPEG 2000 image", convertIt},
	"qt  ": {"a video (QuickTime)", framesOf},
}

// Identify names a well-known format that Decode doesn't read by the first bytes of a file, with
// advice on it; both are "" for any other.
func Identify(b []byte) (name, do string) {
	if name, do = identifyContainer(b); name != "" {
		return name, do
	}
	if len(b) > 16 && string(b[4:8]) == "\x00\x00\x00\x00" && b[8] == '{' && b[9] == '"' {
		return "a safetensors file", notImage
	}
	if len(b) > 376 && b[0] == 0x47 && b[188] == 0x47 && b[376] == 0x47 {
		return "a video (MPEG transport stream)", framesOf
	}
	for _, f := range foreign {
		if len(b) >= f.at+len(f.magic) && string(b[f.at:f.at+len(f.magic)]) == f.magic {
			return f.name, f.do
		}
	}
	head := bytes.ToLower(b[:min(len(b), 1024)])
	if i := bytes.Index(head, []byte("<svg")); i >= 0 && isText(head) {
		return "an SVG drawing", "render it as PNG, with rsvg-convert for example"
	}
	return "", ""
}

// identifyContainer looks into files of parts: ISO media (HEIC, AVIF, video), RIFF and zip.
func identifyContainer(b []byte) (name, do string) {
	if len(b) >= 12 && string(b[4:8]) == "ftyp" {
		if k, ok := brands[string(b[8:12])]; ok {
			return fmt.Sprintf("%s (%q container)", k.name, b[8:12]), k.do
		}
		return fmt.Sprintf("a video (%q container)", b[8:12]), framesOf
	}
	if len(b) >= 12 && string(b[:4]) == "RIFF" {
		switch string(b[8:12]) {
		case "AVI ":
			return "a video (AVI)", framesOf
		case "WAVE":
			return "a sound (WAV)", notImage
		}
	}
	if bytes.HasPrefix(b, []byte("PK\x03\x04")) {
		switch first := b[:min(len(b), 200)]; {
		case bytes.Contains(first, []byte(".npy")):
			return "a NumPy archive (npz)", arrayOf
		case bytes.Contains(first, []byte("data.pkl")), bytes.Contains(first, []byte("/.format_version")):
			return "a file of PyTorch weights", notImage
		case bytes.Contains(first, []byte("[Content_Types].xml")), bytes.Contains(first, []byte("mimetype")):
			return "an Office document", "save its pictures as PNG files"
		}
		return "a zip archive", unpackIt
	}
	return "", ""
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
