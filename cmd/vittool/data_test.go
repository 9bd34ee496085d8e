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
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/train"
)

// TestPack trains from a folder and from its pack, to the same weights, and goes from one to the
// other in the middle.
func TestPack(t *testing.T) {
	dir := t.TempDir()
	scenes := must.Get(data.Open(data.Options{Path: "demo:?count=24&size=48"}))(t)
	for id := range scenes.Len() {
		m := must.Get(scenes.Image(id))(t)
		class := filepath.Join(dir, "photos", fmt.Sprint(id%3))
		must.Do(t, os.MkdirAll(class, 0o755))
		f := must.Get(os.Create(filepath.Join(class, fmt.Sprintf("%d.jpg", id))))(t)
		must.Do(t, jpeg.Encode(f, data.Picture(m), nil))
		must.Do(t, f.Close())
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
		must.Do(t, json.Unmarshal([]byte(o.stdout), &result))
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
