//go:build unix

package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
)

// tiny are the settings of a run that takes no time.
var tiny = []string{
	"--config", "demo", "--model", "vit_nano_patch4_32", "--out", "run", "--steps", "1", "--batch-size", "4",
	"objective.options.decoder_dim=16", "objective.options.decoder_depth=1", "objective.options.decoder_heads=2",
	"train.warmup_epochs=0", "run.pictures_every=never",
}

// pretrainTiny is a command line of tiny with more after it.
func pretrainTiny(more ...string) []string {
	return slices.Concat([]string{"pretrain"}, tiny, more)
}

// badInput is one row of TestBadInput.
type badInput struct {
	name  string
	setup func(t *testing.T, dir string) // makes the files, in the folder of the run
	args  []string
	code  int
	want  []string // parts of the message: fault, place, remedy
	not   []string // words that would mislead
	run   bool     // whether a run folder is there afterwards
}

// TestBadInput runs vittool on the usual mistakes of users. Each case must end with the right exit
// code and one message, and must not leave a run folder of a run that never began.
func TestBadInput(t *testing.T) {
	cases := slices.Concat(badFolders(), badImages(), oddImages(), badSettings(), badEvaluations(), badPlugins())
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if c.setup != nil {
				c.setup(t, dir)
			}
			o := vittool(t, dir, c.args...)
			o.mustEnd(t, c.code, c.want...)
			for _, word := range c.not {
				if strings.Contains(o.stderr, word) {
					t.Errorf("the message says %q:\n%s", word, o.stderr)
				}
			}
			_, err := os.Stat(filepath.Join(dir, "run", "run.json"))
			if there := err == nil; there != c.run {
				t.Errorf("run folder there: %v, want %v", there, c.run)
			}
			if c.run && c.code != exitDone {
				mustSayFailed(t, filepath.Join(dir, "run"))
			}
			mustHaveNoTemporaryFile(t, dir)
		})
	}
}

// mustSayFailed checks that the folder of a run that failed says so, and that its newest checkpoint
// is of the step that it says it came to.
func mustSayFailed(t *testing.T, run string) {
	t.Helper()
	info := must.Get(runs.ReadInfo(run))(t)
	if info.Status != runs.StatusFailed || info.Error == "" {
		t.Errorf("run.json says %q with error %q", info.Status, info.Error)
	}
	list := must.Get(runs.Checkpoints(run))(t)
	if len(list) == 0 || list[len(list)-1].Step != info.Step {
		t.Errorf("run.json says step %d, checkpoints are %v", info.Step, list)
	}
}

func mustHaveNoTemporaryFile(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(filepath.Base(path), ".tmp") {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil && !os.IsPermission(err) {
		t.Fatal(err)
	}
}

func badFolders() []badInput {
	data := pretrainTiny("--data", "pictures")
	return []badInput{
		{name: "missing folder", args: data, code: exitData, want: []string{"pictures", "does not exist"}},
		{name: "empty folder", args: data, code: exitData, want: []string{"pictures", "is an empty folder", "put .jpg"},
			setup: func(t *testing.T, dir string) { mkdir(t, dir, "pictures") }},
		{name: "no images in folder", args: data, code: exitData, want: []string{"pictures"},
			setup: func(t *testing.T, dir string) { writeTo(t, dir, "pictures/notes.txt", []byte("hello")) }},
		{name: "file that is no source", args: pretrainTiny("--data", "notes.md"), code: exitData, want: []string{"notes.md", "folder"},
			setup: func(t *testing.T, dir string) { writeTo(t, dir, "notes.md", []byte("hello")) }},
		{name: "address", args: pretrainTiny("--data", "https://example.org/x"), code: exitData, want: []string{"https://example.org/x", "download"}},
		{name: "demo option", args: pretrainTiny("--data", "demo:?cuont=3"), code: exitData, want: []string{"cuont", "count"}},
		{name: "images of other channels", args: append(slices.Clone(data), "--batch-size", "4", "data.channels=4"), code: exitData,
			want: []string{"the images have 3 channels", "data.channels is 4", "set data.channels=3"}, not: []string{"data.max_failed"},
			setup: func(t *testing.T, dir string) { goodImages(t, dir, 8) }},
		{name: "batch larger than the data", args: pretrainTiny("--data", "pictures", "--batch-size", "64"), code: exitData,
			want:  []string{"pictures", "train.batch_size", "64", "8 images"},
			setup: func(t *testing.T, dir string) { goodImages(t, dir, 8) }},
		{name: "symlink loop", args: data, code: exitDone, run: true,
			setup: func(t *testing.T, dir string) {
				goodImages(t, dir, 8)
				must.Do(t, os.Symlink("..", filepath.Join(dir, "pictures", "loop")))
			}},
	}
}

// badImages puts one broken file among good ones, which is more than the permitted share of one in
// a hundred.
func badImages() []badInput {
	photo, picture := encodeJPEG(48, 40), encodePNG(gradient(48, 40))
	files := []struct {
		name    string
		file    string
		content []byte
	}{
		{"text called jpg", "bad.jpg", []byte("this is no picture at all, only text\n")},
		{"truncated JPEG", "bad.jpg", photo[:len(photo)/2]},
		{"truncated PNG", "bad.png", picture[:len(picture)/2]},
		{"zero bytes", "bad.jpg", nil},
		{"header of 60,000 × 60,000", "bad.png", hugePNG()},
	}
	var cases []badInput
	for _, f := range files {
		setup := func(t *testing.T, dir string) {
			goodImages(t, dir, 8)
			writeTo(t, dir, "pictures/"+f.file, f.content)
		}
		cases = append(cases,
			badInput{name: f.name, args: pretrainTiny("--data", "pictures", "--steps", "9"), code: exitData, want: []string{f.file}, setup: setup, run: true},
			badInput{name: f.name + ", fail at once", args: pretrainTiny("--data", "pictures", "--steps", "9", "data.on_error=fail"), code: exitData, want: []string{f.file}, setup: setup, run: true},
		)
	}
	return cases
}

// oddImages are unusual and right: a run over nothing else must work.
func oddImages() []badInput {
	gray := image.NewGray16(image.Rect(0, 0, 40, 36))
	alpha := image.NewNRGBA(image.Rect(0, 0, 40, 36))
	for y := range 36 {
		for x := range 40 {
			gray.SetGray16(x, y, color.Gray16{Y: uint16(x * y * 40)})
			alpha.SetNRGBA(x, y, color.NRGBA{R: uint8(6 * x), G: uint8(7 * y), A: uint8(5 * x)})
		}
	}
	cmyk, err := os.ReadFile("testdata/cmyk.jpg")
	if err != nil {
		panic(err) // it is part of the repository
	}
	files := []struct {
		name, file string
		content    []byte
	}{
		{"1×1 image", "odd.png", encodePNG(gradient(1, 1))},
		{"CMYK", "odd.jpg", cmyk},
		{"16-bit gray", "odd.png", encodePNG(gray)},
		{"alpha", "odd.png", encodePNG(alpha)},
		{"EXIF rotation", "odd.jpg", rotatedJPEG()},
		{"PNG called jpg", "odd.jpg", encodePNG(gradient(33, 44))},
	}
	var cases []badInput
	for _, f := range files {
		cases = append(cases, badInput{name: f.name, code: exitDone, run: true,
			args: pretrainTiny("--data", "pictures", "--steps", "3", "--batch-size", "3", "data.on_error=fail"),
			setup: func(t *testing.T, dir string) {
				goodImages(t, dir, 2)
				writeTo(t, dir, "pictures/"+f.file, f.content)
			}})
	}
	return cases
}

func badSettings() []badInput {
	demo := func(more ...string) []string { return pretrainTiny(more...) }
	return []badInput{
		{name: "unknown objective", args: demo("--objective", "mea"), code: exitUsage, want: []string{"flag --objective", "mea", "did you mean mae?"}},
		{name: "unknown model", args: demo("--model", "vit_tinny_patch4_32"), code: exitUsage, want: []string{"flag --model", "did you mean vit_tiny_patch4_32?"}},
		{name: "unknown key", args: demo("train.epoch=3"), code: exitUsage, want: []string{"train.epoch", "did you mean train.epochs?"}},
		{name: "unknown key in a file", args: demo("--config", "my.yaml"), code: exitUsage, want: []string{"my.yaml:2", "train.epoch", "did you mean train.epochs?"},
			setup: func(t *testing.T, dir string) { writeTo(t, dir, "my.yaml", []byte("train:\n  epoch: 3\n")) }},
		{name: "wrong type", args: demo("train.epochs=many"), code: exitUsage, want: []string{"train.epochs = many", "whole number"}},
		{name: "wrong type in a file", args: demo("--config", "my.yaml"), code: exitUsage, want: []string{"my.yaml:2", "train.epochs", "whole number"},
			setup: func(t *testing.T, dir string) { writeTo(t, dir, "my.yaml", []byte("train:\n  epochs: many\n")) }},
		{name: "unknown option", args: demo("objective.options.maskratio=0.5"), code: exitUsage, want: []string{"objective.options.maskratio", "mask_ratio"}},
		{name: "option out of range", args: demo("objective.options.mask_ratio=1.5"), code: exitUsage, want: []string{"objective.options.mask_ratio", "1.5", "out of range"}},
		{name: "option that leaves nothing", args: demo("objective.options.mask_ratio=0.999"), code: exitUsage, want: []string{"mask_ratio"}},
		{name: "warm-up longer than the run", args: demo("train.warmup_epochs=99"), code: exitDone, run: true, want: []string{"warning", "train.warmup_epochs = 99"}},
		{name: "warm-up longer than the epochs", args: demo("--steps", "0", "--epochs", "2", "train.warmup_epochs=99"), code: exitUsage, want: []string{"train.warmup_epochs = 99", "2 epochs"}},
		{name: "heads that do not divide the width", args: demo("objective.options.decoder_heads=3"), code: exitUsage, want: []string{"decoder_heads 3", "decoder_dim 16"}},
		{name: "patch that does not divide the size", args: demo("--image-size", "30"), code: exitUsage, want: []string{"model.image_size", "30", "patch size 4"}},
		{name: "one image for batch normalization", args: []string{"pretrain", "--objective", "mocov3", "--batch-size", "1", "--out", "run"}, code: exitUsage,
			want: []string{"train.batch_size = 1", "objective mocov3", "at least 2 values of each channel", "--batch-size 2"}, not: []string{"reshape", "node"}},
		{name: "run folder is a file", args: demo(), code: exitUsage, want: []string{"run.out", "is a file"},
			setup: func(t *testing.T, dir string) { writeTo(t, dir, "run", []byte("x")) }},
		{name: "run folder holds something else", args: demo(), code: exitUsage, want: []string{"run.out", "holiday.jpg"},
			setup: func(t *testing.T, dir string) { writeTo(t, dir, "run/holiday.jpg", []byte("x")) }},
	}
}

func badPlugins() []badInput {
	script := func(body string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := writeTo(t, dir, "plugin", []byte("#!/bin/sh\n"+body+"\n"))
			must.Do(t, os.Chmod(path, 0o755))
		}
	}
	args := pretrainTiny("--plugin", "./plugin", "objective.deadline=1")
	return []badInput{
		{name: "plugin that is not there", args: args, code: exitPlugin, want: []string{"plugin", "no program"}},
		{name: "plugin that may not be run", args: args, code: exitPlugin, want: []string{"plugin", "permission"},
			setup: func(t *testing.T, dir string) { writeTo(t, dir, "plugin", []byte("#!/bin/sh\n")) }},
		{name: "plugin that is no program", args: args, code: exitPlugin, want: []string{"plugin", "not a program for this machine"},
			setup: func(t *testing.T, dir string) {
				path := writeTo(t, dir, "plugin", []byte{0x7f, 'E', 'L', 'F', 9, 9, 9, 9})
				must.Do(t, os.Chmod(path, 0o755))
			}},
		{name: "plugin that exits", args: args, code: exitPlugin, want: []string{"plugin", "before its handshake", "no libfoo here"}, setup: script("echo no libfoo here >&2; exit 3")},
		{name: "plugin that prints on stdout", args: args, code: exitPlugin, want: []string{"plugin", "hello world", "standard output"}, setup: script("echo hello world; sleep 5")},
		{name: "plugin of another protocol version", args: args, code: exitPlugin, want: []string{"plugin", "version 7"}, setup: script("echo '1|7|unix|/nowhere|grpc'; sleep 5")},
		{name: "plugin without its interpreter", args: args, code: exitPlugin, want: []string{"/nowhere/python3", "interpreter"}, setup: func(t *testing.T, dir string) {
			must.Do(t, os.Chmod(writeTo(t, dir, "plugin", []byte("#!/nowhere/python3\n")), 0o755))
		}},
		{name: "plugin that prints an empty line", args: args, code: exitPlugin, want: []string{"printed \"\"", "standard output"}, setup: script("echo; sleep 5")},
		{name: "plugin that is a folder", args: args, code: exitPlugin, want: []string{"is a folder"}, setup: func(t *testing.T, dir string) { mkdir(t, dir, "plugin") }},
		{name: "plugin that hangs", args: args, code: exitPlugin, want: []string{"plugin", "in time"}, setup: script("exec sleep 60")},
		{name: "plugin in process", args: append(slices.Clone(args), "--plugin-mode", "inproc"), code: exitUsage, want: []string{"objective.mode", "process of its own"}, setup: script("")},
	}
}

// TestUnreadableFile needs a user whom permissions bind.
func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	goodImages(t, dir, 8)
	path := writeTo(t, dir, "pictures/secret.jpg", encodeJPEG(40, 40))
	must.Do(t, os.Chmod(path, 0))
	if _, err := os.ReadFile(path); err == nil { // the superuser reads everything: a folder in its place nobody can decode
		must.Do(t, os.Remove(path))
		must.Do(t, os.Symlink("/proc/self/mem", path))
	}
	o := vittool(t, dir, pretrainTiny("--data", "pictures", "--steps", "9", "data.on_error=fail")...)
	o.mustEnd(t, exitData, "secret.jpg")
}

// TestBadResume changes settings that a resumed run may not change, and damages checkpoints.
func TestBadResume(t *testing.T) {
	base := t.TempDir()
	vittool(t, base, pretrainTiny("--steps", "2", "run.checkpoint_every=1 step", "run.keep=0")...).mustEnd(t, exitDone)
	if t.Failed() {
		return
	}
	newest := filepath.Join("run", "checkpoints", "step-00000002.safetensors")
	first := filepath.Join("run", "checkpoints", "step-00000000.safetensors")
	older := filepath.Join("run", "checkpoints", "step-00000001.safetensors")
	damage := func(path string, how func(b []byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			b := must.Get(os.ReadFile(filepath.Join(dir, path)))(t)
			writeTo(t, dir, path, how(b))
		}
	}
	cut := func(b []byte) []byte { return b[:len(b)*2/3] }
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cases := []struct {
		name  string
		setup func(t *testing.T, dir string)
		args  []string
		code  int
		want  []string
	}{
		{"nothing left to do", nil, nil, exitDone, nil},
		{"another model", nil, []string{"--model", "vit_tiny_patch4_32"}, exitUsage, []string{"model.name", "vit_tiny_patch4_32", "vit_nano_patch4_32"}},
		{"another option", nil, []string{"objective.options.decoder_dim=32"}, exitUsage, []string{"objective.options"}},
		{"other images", nil, []string{"--data", "demo:?count=100"}, exitData, []string{"demo:?count=100", "not those the run was started with"}},
		{"newest cut short", damage(newest, cut), nil, exitDone, []string{"step-00000002", "truncated", "resumed after step 1"}},
		{"newest with one bit flipped", damage(newest, flip), nil, exitDone, []string{"step-00000002", "SHA-256", "resumed after step 1"}},
		{"all damaged", func(t *testing.T, dir string) {
			damage(newest, cut)(t, dir)
			damage(older, flip)(t, dir)
			damage(first, cut)(t, dir)
		}, nil, exitFailure, []string{"step-00000001", "none of the 3 checkpoints"}},
		{"no checkpoint left", func(t *testing.T, dir string) {
			must.Do(t, os.RemoveAll(filepath.Join(dir, "run", "checkpoints")))
		}, []string{"-q"}, exitDone, []string{"warning", "no checkpoint", "from the beginning"}},
		{"newest cut short, in few words", damage(newest, cut), []string{"-q"}, exitDone, []string{"warning", "step-00000002", "truncated"}},
		{"killed before run.json", func(t *testing.T, dir string) {
			must.Do(t, os.Rename(filepath.Join(dir, "run", "config.yaml"), filepath.Join(dir, ".config.yaml.tmp-abc")))
			must.Do(t, os.RemoveAll(filepath.Join(dir, "run")))
			mkdir(t, dir, "run", "checkpoints")
			must.Do(t, os.Rename(filepath.Join(dir, ".config.yaml.tmp-abc"), filepath.Join(dir, "run", ".config.yaml.tmp-abc")))
		}, nil, exitDone, []string{"warning", "starts from the beginning"}},
		{"started anew over a run", nil, []string{"again"}, exitUsage, []string{"run.out", "--resume"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must.Do(t, os.CopyFS(dir, os.DirFS(base)))
			if c.setup != nil {
				c.setup(t, dir)
			}
			args := append([]string{"pretrain", "--out", "run", "--resume"}, c.args...)
			if slices.Equal(c.args, []string{"again"}) {
				args = pretrainTiny()
			}
			vittool(t, dir, args...).mustEnd(t, c.code, c.want...)
		})
	}
}

// TestResumeAfterBadImages goes on with a run that images which can't be read have stopped, in each
// of the ways that its message names, and refuses others with a reason.
func TestResumeAfterBadImages(t *testing.T) {
	for _, onError := range []string{"skip", "fail"} {
		t.Run(onError, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			goodImages(t, base, 8)
			writeTo(t, base, "pictures/bad.jpg", []byte("this is no picture at all, only text\n"))
			args := pretrainTiny("--data", "pictures", "--steps", "9", "data.on_error="+onError)
			stopped := vittool(t, base, args...)
			stopped.mustEnd(t, exitData, "bad.jpg", "--resume", "data.max_failed", "start a new run", "failed after step")
			if strings.Contains(stopped.stderr, "done") {
				t.Errorf("a run that failed says it is done:\n%s", stopped.stderr)
			}
			whole := t.TempDir()
			must.Do(t, os.CopyFS(filepath.Join(whole, "pictures"), os.DirFS(filepath.Join(base, "pictures"))))
			vittool(t, whole, append(pretrainTiny("--data", "pictures", "--steps", "9"), "data.max_failed=0.5")...).mustEnd(t, exitDone)
			want := digestOf(t, filepath.Join(whole, "run"))
			bad := filepath.Join(base, "pictures", "bad.jpg")
			resume := []string{"pretrain", "--out", "run", "--resume"}
			must.Do(t, os.WriteFile(bad, encodeJPEG(40, 40), 0o644))
			vittool(t, base, resume...).mustEnd(t, exitData, "9 as then", "repaired", "new run")
			must.Do(t, os.Remove(bad))
			vittool(t, base, resume...).mustEnd(t, exitData, "8 now, 9 then", "new run")
			writeTo(t, base, "pictures/bad.jpg", []byte("this is no picture at all, only text\n"))
			vittool(t, base, append(resume, "data.on_error=skip", "data.max_failed=0.5")...).mustEnd(t, exitDone)
			if got := digestOf(t, filepath.Join(base, "run")); got != want {
				t.Errorf("digest %s, undisturbed %s", got, want)
			}
		})
	}
}

func mkdir(t *testing.T, elem ...string) {
	t.Helper()
	must.Do(t, os.MkdirAll(filepath.Join(elem...), 0o755))
}

func writeTo(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	mkdir(t, filepath.Dir(path))
	must.Do(t, os.WriteFile(path, content, 0o644))
	return path
}

// goodImages writes n pictures that can be read into dir/pictures.
func goodImages(t *testing.T, dir string, n int) {
	t.Helper()
	for i := range n {
		writeTo(t, dir, filepath.Join("pictures", "good"+string(rune('a'+i))+".jpg"), encodeJPEG(40+i, 36))
	}
}

func gradient(w, h int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(5 * x), uint8(6 * y), uint8(x * y), 255})
		}
	}
	return m
}

func encodeJPEG(w, h int) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, gradient(w, h), nil); err != nil {
		panic(err) // memory does not fail
	}
	return b.Bytes()
}

func encodePNG(m image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// hugePNG is a small file whose header claims 60,000 × 60,000 pixels.
func hugePNG() []byte {
	b := encodePNG(gradient(4, 4))
	const header = 12 // type of the first chunk, then its 13 bytes and checksum
	binary.BigEndian.PutUint32(b[header+4:], 60000)
	binary.BigEndian.PutUint32(b[header+8:], 60000)
	binary.BigEndian.PutUint32(b[header+17:], crc32.ChecksumIEEE(b[header:header+17]))
	return b
}

// rotatedJPEG carries EXIF that says to turn it by 90 degrees.
func rotatedJPEG() []byte {
	tiff := []byte("II*\x00\x08\x00\x00\x00" + // little endian, first directory at 8
		"\x01\x00" + // with one entry:
		"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00" + // Orientation, short, 1 value, 6
		"\x00\x00\x00\x00") // no further directory
	payload := append([]byte("Exif\x00\x00"), tiff...)
	segment := []byte{0xff, 0xe1, byte((len(payload) + 2) >> 8), byte(len(payload) + 2)}
	photo := encodeJPEG(48, 32)
	return slices.Concat(photo[:2], segment, payload, photo[2:])
}
