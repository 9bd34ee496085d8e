package data

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vittool/vittool/data/decode"
	"github.com/vittool/vittool/runs"
)

// imageExtensions are the endings of names that a folder scan takes for images. The format follows
// from the content when a file is read.
var imageExtensions = map[string]bool{
	".jpg": true, ".jpeg": true, ".jpe": true, ".jfif": true, ".png": true, ".gif": true,
	".webp": true, ".tif": true, ".tiff": true, ".bmp": true,
	".pgm": true, ".ppm": true, ".pbm": true, ".pnm": true, ".pfm": true,
}

// HasImageExtension tells whether a file is called like an image.
func HasImageExtension(name string) bool {
	return imageExtensions[strings.ToLower(filepath.Ext(name))]
}

// openFolder lists a folder and everything below it, in the byte order of the relative paths. A
// subfolder directly below the root is a class. Hidden names and folders of systems are left out;
// symbolic links are followed, to a folder only where it is not one that contains the link. Files
// without extension are looked into. Run folders (see runs.IsRun) below the root are left out:
// their pictures are made by training and grow while it goes on.
func openFolder(o Options) (Source, error) {
	w := folderWalk{root: o.Path}
	if err := w.visit("", nil); err != nil {
		return nil, err
	}
	if n := len(w.runs); n > 0 && o.Note != nil {
		o.Note(fmt.Sprintf("%s: the pictures of runs in it are left out (run folders: %d, such as %s)", o.Path, n, w.runs[0]))
	}
	if n := len(w.system); n > 0 && o.Note != nil {
		o.Note(fmt.Sprintf("%s: thumbnails and files of the system are left out (folders: %d, such as %s)", o.Path, n, w.system[0]))
	}
	if len(w.files) == 0 {
		return nil, w.empty()
	}
	slices.Sort(w.files)
	s := &fileSet{options: o, entries: make([]entry, len(w.files))}
	classes := make([]string, len(w.files))
	for i, f := range w.files {
		s.entries[i].name = f
		if class, _, ok := strings.Cut(f, "/"); ok {
			classes[i] = class
		}
	}
	s.label(classes)
	s.onDisk(func(id int) string { return filepath.Join(o.Path, filepath.FromSlash(s.entries[id].name)) })
	return s, nil
}

// maxDepth stops a walk through links that only look endless.
const maxDepth = 64

type folderWalk struct {
	root    string
	files   []string // slash paths relative to root
	shards  int      // tar files seen
	others  int      // files that are not images
	example string   // one of them
	folders int
	loops   []string // links back to a folder that contains them
	runs    []string // run folders, which are left out
	system  []string // folders of the system, which are left out
}

// visit lists the folder rel; above holds the folders that lead to it.
func (w *folderWalk) visit(rel string, above []os.FileInfo) error {
	dir := filepath.Join(w.root, filepath.FromSlash(rel))
	info, err := os.Stat(dir)
	if err != nil {
		return pathError(dir, err)
	}
	for _, a := range above {
		if os.SameFile(a, info) {
			w.loops = append(w.loops, rel)
			return nil
		}
	}
	if len(above) >= maxDepth {
		return problem(dir, "give a folder closer to the images", "lies more than %d folders deep", maxDepth)
	}
	above = append(above, info)
	list, err := os.ReadDir(dir)
	if err != nil {
		return pathError(dir, err)
	}
	w.folders++
	if rel != "" && runs.IsRun(list) {
		w.runs = append(w.runs, rel)
		return nil
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := w.entry(path.Join(rel, e.Name()), e, above); err != nil {
			return err
		}
	}
	return nil
}

// entry takes the entry rel of the last of the folders above.
func (w *folderWalk) entry(rel string, e fs.DirEntry, above []os.FileInfo) error {
	name, file := e.Name(), filepath.Join(w.root, filepath.FromSlash(rel))
	isDir := e.IsDir()
	if e.Type()&os.ModeSymlink != 0 {
		// A link to nowhere stays a file: reading it gives the error.
		if target, err := os.Stat(file); err == nil {
			isDir = target.IsDir()
		}
	}
	switch {
	case isDir && isSystemFolder(name):
		w.system = append(w.system, rel)
	case isDir:
		return w.visit(rel, above)
	case HasImageExtension(name) || filepath.Ext(name) == "" && looksLikeImage(file):
		w.files = append(w.files, rel)
	default:
		w.others++
		w.example = rel
		if strings.EqualFold(filepath.Ext(name), ".tar") {
			w.shards++
		}
	}
	return nil
}

// looksLikeImage sniffs a file without an extension.
func looksLikeImage(file string) bool {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return false // never open a pipe or a device: that may block
	}
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [32]byte
	n, _ := f.Read(head[:])
	return decode.Sniff(head[:n]) != ""
}

// empty explains why no image was found.
func (w *folderWalk) empty() error {
	const want = "put .jpg, .png, .gif, .webp, .tif, .bmp or .ppm files there, flat or one subfolder per class"
	switch {
	case w.shards > 0:
		return problem(w.root, fmt.Sprintf("name the shards themselves: %s", filepath.Join(w.root, "*.tar")),
			"contains %d tar shards and no image files", w.shards)
	case len(w.runs) > 0:
		return problem(w.root, want, "contains no images; those of runs in it (such as %s) are left out", w.runs[0])
	case len(w.system) > 0:
		return problem(w.root, want, "contains no images but thumbnails or files of the system, which are left out (%s)", w.system[0])
	case w.others > 0:
		return problem(w.root, want, "contains %d files (such as %s) but no images", w.others, w.example)
	case w.folders > 1:
		return problem(w.root, want, "contains %d folders but no images", w.folders-1)
	}
	return problem(w.root, want, "is an empty folder")
}
