package runs

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Names inside a run folder.
const (
	ConfigFile     = "config.yaml"
	InfoFile       = "run.json"
	MetricsFile    = "metrics.jsonl"
	LogFile        = "log.txt"
	SkippedFile    = "skipped.txt"
	PicturesDir    = "pictures"
	CheckpointsDir = "checkpoints"
	LatestFile     = "latest" // in CheckpointsDir: the name of the newest checkpoint
)

// IsRun tells by the entries of a folder whether it is a run folder: two of the three names that
// every run folder has are enough. Its own name and its place do not matter.
func IsRun(entries []fs.DirEntry) bool {
	found := 0
	for _, e := range entries {
		switch e.Name() {
		case InfoFile, ConfigFile:
			if e.Type().IsRegular() {
				found++
			}
		case CheckpointsDir:
			if e.IsDir() {
				found++
			}
		}
	}
	return found >= 2
}

// OfCheckpoint returns the run folder whose checkpoints folder holds a file, or would hold it once
// written; "" for none. Links are followed.
func OfCheckpoint(file string) string {
	real, err := filepath.EvalSymlinks(file)
	if err != nil { // a new file
		if real, err = filepath.EvalSymlinks(filepath.Dir(file)); err != nil {
			return ""
		}
		real = filepath.Join(real, filepath.Base(file))
	}
	if real, err = filepath.Abs(real); err != nil {
		return ""
	}
	for dir := filepath.Dir(real); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if filepath.Base(dir) != CheckpointsDir {
			continue
		}
		run := filepath.Dir(dir)
		for _, name := range []string{InfoFile, ConfigFile} {
			if _, err := os.Stat(filepath.Join(run, name)); err == nil {
				return run
			}
		}
	}
	return ""
}
