package runs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vittool/vittool/internal/atomicfile"
)

// Folder is a run folder that this process holds the lock of.
type Folder struct {
	Dir  string
	lock *os.File
}

// FolderError tells why a folder can't be used for a run.
type FolderError struct {
	Dir     string
	Problem string
	Hint    string // remedy
}

func (e *FolderError) Error() string {
	return fmt.Sprintf("run folder %s: %s: %s", e.Dir, e.Problem, e.Hint)
}

// CheckNew refuses, with a *FolderError, a folder for a new run that holds anything.
func CheckNew(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, InfoFile)); err == nil {
		return &FolderError{dir, "folder already holds a run", "add --resume to go on with it, or choose another folder with --out"}
	}
	foreign, err := foreignEntry(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &FolderError{dir, "can't be a run folder: " + err.Error(), "choose another folder with --out"}
	case foreign != "":
		return &FolderError{dir, "the folder is not empty and holds no run (it contains " + foreign + ")", "choose a new folder with --out"}
	}
	return nil
}

// foreignEntry names something in a folder without run.json that a run killed before it wrote that
// file can't have left there; empty when there is nothing.
func foreignEntry(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case atomicfile.IsTemporary(name), name == ConfigFile && !e.IsDir(), name == LogFile && !e.IsDir():
		case e.IsDir() && (name == CheckpointsDir || name == PicturesDir):
			inner, err := os.ReadDir(filepath.Join(dir, name))
			if err != nil {
				return "", err
			}
			if len(inner) > 0 {
				return filepath.Join(name, inner[0].Name()), nil
			}
		default:
			return name, nil
		}
	}
	return "", nil
}

// Create makes dir the folder of a new run and locks it.
func Create(dir string) (*Folder, error) {
	if err := CheckNew(dir); err != nil {
		return nil, err
	}
	return prepare(dir, "create")
}

// Open locks the folder of a run to go on with it. Without run.json and checkpoints there is no run
// to go on with, which is a *FolderError.
func Open(dir string) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(dir, InfoFile)); errors.Is(err, fs.ErrNotExist) {
		checkpoints, err := Checkpoints(dir)
		if err != nil {
			return nil, err
		}
		if len(checkpoints) == 0 { // with them the run goes on, and the file is written anew
			hint := "give the folder of a run with --out"
			if CheckNew(dir) == nil {
				hint = "leave out --resume to start one, or " + hint
			}
			return nil, &FolderError{dir, "no run to resume: the folder has no " + InfoFile + " and no checkpoints", hint}
		}
	} else if err != nil {
		return nil, fmt.Errorf("open run folder: %w", err)
	}
	return prepare(dir, "open")
}

// prepare makes the folders that are missing, takes the lock and removes unfinished files of a
// killed process.
func prepare(dir, verb string) (*Folder, error) {
	for _, d := range []string{dir, filepath.Join(dir, CheckpointsDir), filepath.Join(dir, PicturesDir)} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("%s run folder: %w", verb, err)
		}
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{dir, lock}
	return f, f.sweep()
}

// sweep removes unfinished files of atomic writes.
func (f *Folder) sweep() error {
	return filepath.WalkDir(f.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && atomicfile.IsTemporary(d.Name()) {
			err = os.Remove(path)
		}
		return err
	})
}

// Close releases the lock.
func (f *Folder) Close() error {
	if f == nil || f.lock == nil {
		return nil
	}
	return f.lock.Close()
}

// Path joins names to the folder's path.
func (f *Folder) Path(elem ...string) string {
	return filepath.Join(append([]string{f.Dir}, elem...)...)
}

// Append opens a file of the folder for appending, and makes it where there is none.
func (f *Folder) Append(name string) (*os.File, error) {
	return os.OpenFile(f.Path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

func writeFile(path string, content []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// defaultName is the n-th name for a run without one: runs/<objective>-<model>[-n].
func defaultName(objective, model string, n int) string {
	clean := strings.NewReplacer("/", "-", string(filepath.Separator), "-")
	name := filepath.Join("runs", clean.Replace(objective+"-"+model))
	if n > 1 {
		name += fmt.Sprintf("-%d", n)
	}
	return name
}

// FreeName returns the first default name of a folder that doesn't exist.
func FreeName(objective, model string) string {
	for n := 1; ; n++ {
		dir := defaultName(objective, model, n)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return dir
		}
	}
}

// ClaimName makes the folder of the first default name that doesn't exist. Of several processes at
// once each gets its own.
func ClaimName(objective, model string) (string, error) {
	for n := 1; ; n++ {
		dir := defaultName(objective, model, n)
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return "", fmt.Errorf("create run folder: %w", err)
		}
		err := os.Mkdir(dir, 0o755)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			if err != nil {
				err = fmt.Errorf("create run folder: %w", err)
			}
			return dir, err
		}
	}
}
