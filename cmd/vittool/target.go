package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/core"
)

// checkTarget refuses, before any work, a file that can't be written in the end:
// none was named, the name does not end in suffix, its folder is not there, or
// something stands in its place that writing would replace. beside are the endings
// of files that are written with it.
func checkTarget(cmd *cobra.Command, path, suffix, example string, beside ...string) error {
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
		if info, err := os.Stat(stem + p); err == nil && !info.Mode().IsRegular() {
			return &usageError{fmt.Sprintf("--to %s can't be written: %v", stem+p, &core.NotRegularError{Mode: info.Mode()}), ""}
		}
	}
	return nil
}
