package runs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"

	"github.com/vittool/vittool/tensor"
)

var checkpointName = regexp.MustCompile(`^step-(\d{8,})\.safetensors$`)

// Checkpoint is a file in a run's checkpoints folder.
type Checkpoint struct {
	Path string
	Step int
}

// Checkpoints lists the checkpoints of a run folder by their names, oldest first. Whether they are
// whole is not looked at.
func Checkpoints(runDir string) ([]Checkpoint, error) {
	dir := filepath.Join(runDir, CheckpointsDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var list []Checkpoint
	for _, e := range entries {
		m := checkpointName.FindStringSubmatch(e.Name())
		if m == nil || e.IsDir() {
			continue
		}
		step, err := strconv.Atoi(m[1])
		if err != nil {
			continue // a number no run reaches
		}
		list = append(list, Checkpoint{filepath.Join(dir, e.Name()), step})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Step < list[j].Step })
	return list, nil
}

// Latest reads the newest checkpoint of a run whose digest holds. Damaged ones are reported, newest
// first, and passed over; report may be nil. The file is nil when the run has no checkpoint at all;
// when it has only damaged ones, that is an error.
func Latest(runDir string, report func(path string, err error)) (file *tensor.File, step int, err error) {
	list, err := Checkpoints(runDir)
	if err != nil {
		return nil, 0, err
	}
	for _, c := range slices.Backward(list) {
		if file, err = readCheckpoint(c); err == nil {
			return file, c.Step, nil
		}
		if report != nil {
			report(c.Path, err)
		}
	}
	if len(list) > 0 {
		return nil, 0, fmt.Errorf("none of the %d checkpoints in %s is whole: restore one from a copy, or start a new run; the oldest: %w",
			len(list), filepath.Join(runDir, CheckpointsDir), err)
	}
	return nil, 0, nil
}

func readCheckpoint(c Checkpoint) (*tensor.File, error) {
	file, err := tensor.ReadSafetensors(c.Path)
	if err != nil {
		return nil, err
	}
	if err := file.VerifyDigest(); err != nil {
		return nil, err
	}
	if format := file.Meta[MetaFormat]; format != CheckpointFormat {
		return nil, fmt.Errorf("%s: format %q, but this vittool reads %q", c.Path, format, CheckpointFormat)
	}
	if step := file.Meta[MetaStep]; step != strconv.Itoa(c.Step) {
		return nil, fmt.Errorf("%s: holds step %s: it was renamed", c.Path, step)
	}
	return file, nil
}

// Save writes the checkpoint of a step, names it in "latest" and removes the oldest ones beyond
// keep (0: none). It returns path and digest, also with an error that came after the file was
// written. It sorts tensors by name.
func (f *Folder) Save(meta Meta, tensors []tensor.Tensor, keep int) (Checkpoint, string, error) {
	text, err := meta.text()
	if err != nil {
		return Checkpoint{}, "", err
	}
	sort.Slice(tensors, func(i, j int) bool { return tensors[i].Name < tensors[j].Name }) // equal state, equal bytes
	c := Checkpoint{f.Path(CheckpointsDir, fmt.Sprintf("step-%08d.safetensors", meta.Step)), meta.Step}
	if err := tensor.WriteSafetensors(c.Path, tensors, text); err != nil {
		return Checkpoint{}, "", fmt.Errorf("write checkpoint: %w", err)
	}
	return c, tensor.Digest(tensors), f.Settle(c, keep)
}

// Settle makes a checkpoint the newest one: "latest" names it and the oldest ones beyond keep (0:
// none) go.
func (f *Folder) Settle(c Checkpoint, keep int) error {
	latest := f.Path(CheckpointsDir, LatestFile)
	name := []byte(filepath.Base(c.Path) + "\n")
	if now, err := os.ReadFile(latest); err != nil || !bytes.Equal(now, name) {
		if err := writeFile(latest, name); err != nil {
			return fmt.Errorf("write checkpoint: %w", err)
		}
	}
	if keep <= 0 {
		return nil
	}
	list, err := Checkpoints(f.Dir)
	if err != nil {
		return err
	}
	// Newer files are damaged or abandoned and do not count.
	list = slices.DeleteFunc(list, func(old Checkpoint) bool { return old.Step > c.Step })
	for _, old := range list[:max(0, len(list)-keep)] {
		if err := os.Remove(old.Path); err != nil {
			return fmt.Errorf("remove old checkpoint: %w", err)
		}
	}
	return nil
}
