package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/internal/atomicfile"
)

// Names inside a run folder.
const (
	ConfigFile     = "config.yaml"
	InfoFile       = "run.json"
	LogFile        = "log.txt"
	SkippedFile    = "skipped.txt"
	PicturesDir    = "pictures"
	CheckpointsDir = "checkpoints"
	LatestFile     = "latest" // in CheckpointsDir: the name of the newest checkpoint
)

// States of a run in run.json. A run whose process was killed still says
// "running"; its folder is not locked then.
const (
	StatusRunning     = "running"
	StatusDone        = "done"
	StatusInterrupted = "interrupted"
	StatusFailed      = "failed"
)

// Info is run.json: what ran, on what, with what, and how far it came.
type Info struct {
	Format     int           `json:"format"` // 1
	Status     string        `json:"status"`
	Error      string        `json:"error,omitempty"`
	Step       int           `json:"step"`
	TotalSteps int           `json:"total_steps"`
	Loss       float64       `json:"loss,omitempty"` // of the newest whole epoch, when the process ended
	Seed       uint64        `json:"seed"`
	Model      string        `json:"model"`
	Objective  ObjectiveInfo `json:"objective"`
	Data       DataInfo      `json:"data"`
	Vittool    BuildInfo     `json:"vittool"`
	Machine    MachineInfo   `json:"machine"`
	Started    time.Time     `json:"started"`
	Updated    time.Time     `json:"updated"`
	Processes  int           `json:"processes"` // how often the run was started or resumed
}

// ObjectiveInfo identifies the plugin that a run trains with.
type ObjectiveInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"` // of the plugin's executable
	Mode    string `json:"mode"`
}

// DataInfo identifies the images that a run reads.
type DataInfo struct {
	Path        string `json:"path"`
	Images      int    `json:"images"`
	Fingerprint string `json:"fingerprint"`
}

// BuildInfo identifies the program.
type BuildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
}

// MachineInfo says on what a run went on last.
type MachineInfo struct {
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Cores   int    `json:"cores"`
	Threads int    `json:"threads"`
	Kernels string `json:"kernels"` // generic, avx2 or avx512: bits are equal on one level only
}

// Folder is a run folder that this process holds the lock of.
type Folder struct {
	Dir  string
	lock *os.File
}

// ErrRunExists is wrapped by the error of starting a new run in a folder that
// holds one.
var ErrRunExists = errors.New("folder already holds a run")

// checkNewFolder refuses a folder for a new run that holds anything.
func checkNewFolder(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, InfoFile)); err == nil {
		return &configs.Error{Key: "run.out", Value: dir, Problem: ErrRunExists.Error(),
			Hint: "add --resume to go on with it, or choose another folder with --out"}
	}
	foreign, err := foreignEntry(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &configs.Error{Key: "run.out", Value: dir, Problem: "can't be a run folder: " + err.Error(), Hint: "choose another folder with --out"}
	case foreign != "":
		return &configs.Error{Key: "run.out", Value: dir, Problem: "the folder is not empty and holds no run (it contains " + foreign + ")",
			Hint: "choose a new folder with --out"}
	}
	return nil
}

// foreignEntry names something in a folder without run.json that a run killed
// before it wrote that file can't have left there; empty when there is nothing.
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

// createFolder makes dir a run folder for a new run.
func createFolder(dir string) (*Folder, error) {
	if err := checkNewFolder(dir); err != nil {
		return nil, err
	}
	for _, d := range []string{dir, filepath.Join(dir, CheckpointsDir), filepath.Join(dir, PicturesDir)} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("create run folder: %w", err)
		}
	}
	f, err := lockedFolder(dir)
	if err != nil {
		return nil, err
	}
	return f, f.sweep()
}

// unbegun returns the file with the settings of a run that was killed before it
// wrote run.json, when the folder holds nothing but what such a run leaves; ""
// for every other folder.
func unbegun(dir string) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, InfoFile)); err == nil {
		return "", nil
	}
	if foreign, err := foreignEntry(dir); err != nil || foreign != "" {
		return "", nil // openFolder says what is wrong
	}
	return WrittenSettings(dir)
}

// WrittenSettings returns the path of the settings that a run wrote to its
// folder, config.yaml or, where the run was killed just before that got its name,
// the file that would have become it; "" when there is neither.
func WrittenSettings(dir string) (string, error) {
	path := filepath.Join(dir, ConfigFile)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("open run folder: %w", err)
	}
	for _, e := range entries {
		if !atomicfile.IsTemporary(e.Name()) || !strings.HasPrefix(e.Name(), "."+ConfigFile) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		content, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("settings of the run: %w", err)
		}
		// What was cut short is not what the settings in it would be written as.
		if cfg, err := configs.Parse(path, content); err == nil && bytes.Equal(cfg.YAML(), content) {
			return path, nil
		}
	}
	return "", nil
}

// openFolder opens an existing run folder to go on with its run.
func openFolder(dir string) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(dir, InfoFile)); errors.Is(err, fs.ErrNotExist) {
		checkpoints, err := Checkpoints(dir)
		if err != nil {
			return nil, err
		}
		if len(checkpoints) == 0 { // with them the run goes on, and the file is written anew
			hint := "give the folder of a run with --out"
			if checkNewFolder(dir) == nil {
				hint = "leave out --resume to start one, or " + hint
			}
			return nil, &configs.Error{Key: "run.out", Value: dir, Problem: "no run to resume: the folder has no " + InfoFile + " and no checkpoints", Hint: hint}
		}
	} else if err != nil {
		return nil, fmt.Errorf("open run folder: %w", err)
	}
	for _, d := range []string{filepath.Join(dir, CheckpointsDir), filepath.Join(dir, PicturesDir)} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("open run folder: %w", err)
		}
	}
	f, err := lockedFolder(dir)
	if err != nil {
		return nil, err
	}
	return f, f.sweep()
}

func lockedFolder(dir string) (*Folder, error) {
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	return &Folder{dir, lock}, nil
}

// sweep removes what atomic writes of a killed process left unfinished.
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
	if f.lock == nil {
		return nil
	}
	return f.lock.Close()
}

func (f *Folder) path(elem ...string) string {
	return filepath.Join(append([]string{f.Dir}, elem...)...)
}

func (f *Folder) writeInfo(info *Info) error {
	b, err := info.text()
	if err != nil {
		return err
	}
	return writeFile(f.path(InfoFile), b)
}

// overwriteInfo writes run.json in its place, which needs no room on a full disk. It is
// for the end of a run that failed: a file cut short is written anew by a resume.
func (f *Folder) overwriteInfo(info *Info) error {
	b, err := info.text()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(f.path(InfoFile), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(b, 0)
	if err == nil {
		err = file.Truncate(int64(len(b)))
	}
	return errors.Join(err, file.Close())
}

func (i *Info) text() ([]byte, error) {
	i.Updated = time.Now().UTC().Truncate(time.Second)
	b, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", InfoFile, err)
	}
	return append(b, '\n'), nil
}

// ReadInfo reads run.json of a run folder.
func ReadInfo(dir string) (*Info, error) {
	path := filepath.Join(dir, InfoFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a run folder: it has no %s: %w", dir, InfoFile, err)
	}
	if err != nil {
		return nil, err
	}
	info := &Info{}
	if err := json.Unmarshal(b, info); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	if info.Format != 1 {
		return nil, fmt.Errorf("%s: format %d, but this vittool reads format 1: use the version that wrote it", path, info.Format)
	}
	return info, nil
}

func writeFile(path string, content []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// Build describes the running program from what the Go tool recorded in it.
func Build() BuildInfo {
	b := BuildInfo{Version: "(devel)", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func machine(e *device.CPU) MachineInfo {
	return MachineInfo{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Threads: e.Threads(), Kernels: e.Level()}
}

// folderName is the n-th name for a run without one: runs/<objective>-<model>[-n].
func folderName(objective, model string, n int) string {
	clean := strings.NewReplacer("/", "-", string(filepath.Separator), "-")
	name := filepath.Join("runs", clean.Replace(objective+"-"+model))
	if n > 1 {
		name += fmt.Sprintf("-%d", n)
	}
	return name
}

// freeFolder returns the first name that doesn't exist.
func freeFolder(objective, model string) string {
	for n := 1; ; n++ {
		dir := folderName(objective, model, n)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return dir
		}
	}
}

// claimFolder makes the folder of the first name that doesn't exist. Of several
// processes at once each gets its own.
func claimFolder(objective, model string) (string, error) {
	for n := 1; ; n++ {
		dir := folderName(objective, model, n)
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
