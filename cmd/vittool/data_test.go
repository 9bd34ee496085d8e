//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/train"
)

// TestPack trains from a folder and from its pack, to the same weights, and goes from one to the
// other in the middle.
func TestPack(t *testing.T) {
	dir := t.TempDir()
	scenes, err := data.Open(data.Options{Path: "demo:?count=24&size=48"})
	if err != nil {
		t.Fatal(err)
	}
	for id := range scenes.Len() {
		m, err := scenes.Image(id)
		if err != nil {
			t.Fatal(err)
		}
		class := filepath.Join(dir, "photos", fmt.Sprint(id%3))
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(class, fmt.Sprintf("%d.jpg", id)))
		if err != nil {
			t.Fatal(err)
		}
		if err := jpeg.Encode(f, data.Picture(m), nil); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	o := vittool(t, dir, "data", "pack", "--data", "photos", "--to", "photos.pack", "--short-side", "48")
	o.mustEnd(t, exitDone)
	if !strings.Contains(o.stdout, "photos.pack: 24 images") || strings.Contains(o.stdout, "shortened") {
		t.Errorf("it prints %s", o.stdout)
	}
	digest := func(path, out string, args ...string) string {
		t.Helper()
		args = append(pretrainTiny(append([]string{"data.path=" + path, "run.out=" + out}, args...)...), "--json")
		o := vittool(t, dir, args...)
		o.mustEnd(t, exitDone)
		var result train.Result
		if err := json.Unmarshal([]byte(o.stdout), &result); err != nil {
			t.Fatal(err)
		}
		return result.Digest
	}
	want := digest("photos", "a", "train.steps=4")
	if got := digest("photos.pack", "b", "train.steps=4"); got != want {
		t.Error("training from the pack gives other weights")
	}
	o = vittool(t, dir, "data", "pack", "--data", "photos", "--to", "small.pack", "--short-side", "32", "--json")
	o.mustEnd(t, exitDone)
	if !strings.Contains(o.stdout, `"shortened": 24`) {
		t.Errorf("it prints %s", o.stdout)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no data", []string{"--to", "x"}, exitUsage, "--data"},
		{"no folder", []string{"--data", "photos"}, exitUsage, "--to"},
		{"side", []string{"--data", "photos", "--to", "x", "--short-side", "-1"}, exitUsage, "--short-side -1"},
		{"key", []string{"--data", "photos", "--to", "x", "train.steps=3"}, exitUsage, "train.steps=3"},
		{"not there", []string{"--data", "fotos", "--to", "x"}, exitData, "fotos: does not exist"},
		{"taken", []string{"--data", "photos", "--to", "small.pack"}, exitData, "already holds a pack"},
		{"full", []string{"--data", "photos", "--to", "photos"}, exitData, "is not empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := vittool(t, dir, append([]string{"data", "pack"}, c.args...)...)
			o.mustEnd(t, c.code, c.want)
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); err == nil {
		t.Error("a refused command leaves a folder")
	}
}
