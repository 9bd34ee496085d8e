package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vittool/vittool/internal/atomicfile"
)

// WriteSettings writes config.yaml.
func (f *Folder) WriteSettings(yaml []byte) error { return writeFile(f.Path(ConfigFile), yaml) }

// Settings returns the path of the settings that a run wrote to its folder: config.yaml or, where
// the process was killed just before the file got its name, the temporary file; "" when there is
// neither. whole reports whether the content of a temporary file is complete.
func Settings(dir string, whole func(path string, content []byte) bool) (string, error) {
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
		if whole(path, content) {
			return path, nil
		}
	}
	return "", nil
}

// SettingsBeforeStart returns the settings of a run whose process was killed before it wrote
// run.json, when the folder holds nothing but the files of such a run; "" for every other folder.
func SettingsBeforeStart(dir string, whole func(path string, content []byte) bool) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, InfoFile)); err == nil {
		return "", nil
	}
	if foreign, err := foreignEntry(dir); err != nil || foreign != "" {
		return "", nil // Open returns the error
	}
	return Settings(dir, whole)
}
