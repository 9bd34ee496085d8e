package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"
)

// States of a run in run.json. A run whose process was killed still says "running"; its folder is
// not locked then.
const (
	StatusRunning     = "running"
	StatusDone        = "done"
	StatusInterrupted = "interrupted"
	StatusFailed      = "failed"
)

// EpochOfImages is the Info.EpochOf of a run whose schedules, intervals and end follow the images
// read. Older versions counted an epoch as a whole number of steps, rounded down.
const EpochOfImages = "images"

// Info is run.json: identity, inputs, machine and progress of a run.
type Info struct {
	Format     int           `json:"format"` // 1
	Status     string        `json:"status"`
	Error      string        `json:"error,omitempty"`
	Step       int           `json:"step"`
	TotalSteps int           `json:"total_steps"`
	FinalLoss                // when the process ended
	Eval       *EvalLine     `json:"eval,omitempty"`     // newest evaluation
	EpochOf    string        `json:"epoch_of,omitempty"` // EpochOfImages; absent in runs of older versions
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

// FinalLoss is the loss that a run has come to.
type FinalLoss struct {
	// Loss is the mean over the micro-batches of LossOf: "epoch 3", the newest whole epoch, or "epoch 1
	// so far".
	Loss     float64 `json:"loss,omitempty"`
	LossOf   string  `json:"loss_of,omitempty"`
	LastLoss float64 `json:"loss_last_step,omitempty"` // of the last step
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

// MachineInfo describes the machine that a run went on last.
type MachineInfo struct {
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Cores   int    `json:"cores"`
	Threads int    `json:"threads"`
	Kernels string `json:"kernels"` // generic, avx2 or avx512: bits are equal on one level only
}

// NewInfo is the run.json of a run that starts now.
func NewInfo() *Info {
	return &Info{Format: 1, EpochOf: EpochOfImages, Started: time.Now().UTC().Truncate(time.Second)}
}

// ReadInfo reads run.json of a run folder. The error wraps fs.ErrNotExist where there is none, and
// a *json.SyntaxError where it is damaged.
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

// WriteInfo replaces run.json. It sets info.Updated.
func (f *Folder) WriteInfo(info *Info) error {
	b, err := info.text()
	if err != nil {
		return err
	}
	return writeFile(f.Path(InfoFile), b)
}

// OverwriteInfo writes run.json in its place, which needs no space on a full disk. It is for the
// end of a run that failed: a file cut short is written anew by a resume.
func (f *Folder) OverwriteInfo(info *Info) error {
	b, err := info.text()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(f.Path(InfoFile), os.O_WRONLY, 0)
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

// Build describes the running program from the Go tool's own record in it.
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

// Machine describes this machine and the process's share of it.
func Machine(threads int, kernels string) MachineInfo {
	return MachineInfo{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Threads: threads, Kernels: kernels}
}
