package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

const root = ".."

// pages are the texts that are held to the code.
func pages(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("*.md")
	if err != nil || len(list) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	return append(list, filepath.Join(root, "README.md"))
}

func read(t *testing.T, path string) string {
	t.Helper()
	b := must.Get(os.ReadFile(path))(t)
	return string(b)
}

var (
	link = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	// path is a file or folder of the repository, named in backticks.
	path    = regexp.MustCompile("`((?:cmd|train|tasks|bench|plugins|objectives|data|configs|vit|core|docs|runs|backbone|tensor|internal|faults|examples|testdata)(?:/[\\w.*-]+)+/?)`")
	program = regexp.MustCompile("(?s)```go\n(package main\n.*?)```")
)

// TestLinks follows every relative link, and looks for every path that is named.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		text := read(t, page)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
		for _, m := range path.FindAllStringSubmatch(text, -1) {
			if found, err := filepath.Glob(filepath.Join(root, m[1])); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
}

// TestPrograms compiles the programs that the pages show.
func TestPrograms(t *testing.T) {
	count := 0
	for _, page := range pages(t) {
		for _, m := range program.FindAllStringSubmatch(read(t, page), -1) {
			count++
			dir := t.TempDir()
			file := filepath.Join(dir, "main.go")
			must.Do(t, os.WriteFile(file, []byte(m[1]), 0o644))
			build := exec.Command("go", "build", "-o", filepath.Join(dir, "program"), file)
			build.Dir = root
			if out, err := build.CombinedOutput(); err != nil {
				t.Errorf("a program in %s does not compile: %v\n%s", page, err, out)
			}
		}
	}
	if count == 0 {
		t.Error("no page shows a program")
	}
}
