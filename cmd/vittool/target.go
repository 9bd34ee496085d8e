package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/vittool/vittool/internal/atomicfile"
	"github.com/vittool/vittool/runs"
)

// checkTarget refuses, before any work, a file that can't be written in the end or whose writing
// would destroy something: none was named, the name does not end in suffix, its folder is not there
// or holds the checkpoints of a run, or in its place stands no file or one of those that the
// command reads. beside are the endings of files that are written with it.
func checkTarget(cmd *cobra.Command, path string, reads []string, suffix, example string, beside ...string) error {
	if path == "" {
		return required(cmd, "to", example)
	}
	stem, ok := strings.CutSuffix(path, suffix)
	if !ok || filepath.Base(path) == suffix {
		return &usageError{fmt.Sprintf("--to %s is no name for the file that %s writes", path, cmd.CommandPath()),
			fmt.Sprintf("it must end in %s, for instance --to %s", suffix, example)}
	}
	if dir := filepath.Dir(path); !isFolder(dir) {
		return &usageError{fmt.Sprintf("--to %s: there is no folder %s", path, dir), "make it, or name a file elsewhere"}
	}
	for _, p := range append([]string{suffix}, beside...) {
		file := stem + p
		if err := checkNoCheckpoint("to", file); err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		if !info.Mode().IsRegular() {
			return &usageError{fmt.Sprintf("--to %s can't be written: %v", file, &atomicfile.NotRegularError{Mode: info.Mode()}), ""}
		}
		for _, read := range reads {
			if other, err := os.Stat(read); err == nil && os.SameFile(info, other) {
				return &usageError{fmt.Sprintf("--to %s would replace the file that is read, %s", file, read), "name another file"}
			}
		}
	}
	return nil
}

// fileExists reports whether there is anything under a name.
func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// checkNoCheckpoint refuses a file among the checkpoints of a run, to be written by the named flag.
func checkNoCheckpoint(flag, file string) error {
	if run := runs.OfCheckpoint(file); run != "" {
		return &usageError{fmt.Sprintf("--%s %s lies among the checkpoints of the run %s, which goes on from them", flag, file, run),
			"name a file elsewhere"}
	}
	return nil
}
