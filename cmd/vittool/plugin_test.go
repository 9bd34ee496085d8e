package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

// TestLock pins a third-party plugin, changes it, and pins it again.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	buildPlugin(t, filepath.Join(dir, "mine"), "1.0.0")
	vittool(t, dir, "plugin", "verify").mustEnd(t, exitDone)
	info := vittool(t, dir, "plugin", "info", "./mine")
	info.mustEnd(t, exitDone)
	if !strings.Contains(info.stdout, "pixels of nothing") {
		t.Errorf("info prints\n%s", info.stdout)
	}
	vittool(t, dir, "plugin", "lock", "./mine").mustEnd(t, exitDone)
	vittool(t, dir, "plugin", "verify", "--json").mustEnd(t, exitDone)
	if list := vittool(t, dir, "plugin", "list"); !strings.Contains(list.stdout, "./mine") {
		t.Errorf("list does not have it:\n%s", list.stdout)
	}

	buildPlugin(t, filepath.Join(dir, "mine"), "1.0.1")
	vittool(t, dir, "plugin", "verify").mustEnd(t, exitPlugin, "./mine", "not the ones that were locked")
	if list := vittool(t, dir, "plugin", "list"); !strings.Contains(list.stdout, "not the file that was pinned") {
		t.Errorf("list does not tell of the change:\n%s", list.stdout)
	}
	vittool(t, dir, "plugin", "info", "./mine").mustEnd(t, exitPlugin, "./mine", "locked")
	vittool(t, dir, "pretrain", "--steps", "1", "--out", "run", "--plugin", "./mine").
		mustEnd(t, exitPlugin, "./mine", "locked")
	if _, err := os.Stat(filepath.Join(dir, "run")); err == nil {
		t.Error("a run with a plugin that was refused left a folder")
	}

	vittool(t, dir, "plugin", "lock", "./mine").mustEnd(t, exitDone)
	vittool(t, dir, "plugin", "verify").mustEnd(t, exitDone)
	vittool(t, dir, "pretrain", "--steps", "1", "--batch-size", "4", "--out", "run", "--plugin", "./mine", "train.warmup_epochs=0").
		mustEnd(t, exitDone, "objective  mine")
	vittool(t, dir, "pretrain", "--out", "other", "--objective", "yours", "--plugin", "./mine").
		mustEnd(t, exitUsage, "flag --objective", "calls itself mine")

	must.Do(t, os.Remove(filepath.Join(dir, "mine")))
	gone := vittool(t, dir, "plugin", "verify")
	gone.mustEnd(t, exitPlugin, "./mine")
	if strings.Contains(gone.stdout, "on purpose") || !strings.Contains(gone.stdout, "bring it back") {
		t.Errorf("verify of a missing file advises:\n%s", gone.stdout)
	}
}

// buildPlugin compiles an objective of a third party. It lies in this module for as long as the
// test runs, because it needs its SDK.
func buildPlugin(t *testing.T, path, version string) {
	t.Helper()
	source := must.Get(os.MkdirTemp("testdata", "plugin-"))(t)
	defer os.RemoveAll(source)
	code := fmt.Sprintf(`package main

import "github.com/vittool/vittool/plugins/sdk"

type mine struct{}

func (mine) Info() sdk.Info {
	return sdk.Info{Name: "mine", Version: %q, Summary: "predicts the pixels of nothing"}
}

func (mine) Plan(b *sdk.Builder) error {
	view := b.View("image")
	all := b.BitMask("all", view, func(_ *sdk.MaskCall, _ int, removed []byte) {
		for i := range removed {
			removed[i] = 1
		}
	})
	tokens := b.Student("whole", view).PatchTokens()
	return b.Minimize(b.PatchMSE(b.Linear("head", tokens, b.PatchDim()), b.PatchPixels(view, sdk.ChannelLast), all))
}

func main() { sdk.Serve(mine{}) }
`, version)
	must.Do(t, os.WriteFile(filepath.Join(source, "main.go"), []byte(code), 0o600))
	if out, err := exec.Command("go", "build", "-o", path, "./"+source).CombinedOutput(); err != nil {
		t.Fatalf("building a plugin: %v\n%s", err, out)
	}
}
