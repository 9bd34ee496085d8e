//go:build unix

package program_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/tensor"
)

// A plan may name any path: other than regular files are refused by the SDK and by the compiler, and
// a large file takes no more memory than the tensors that the plan names.
func TestFilesOfAnyKind(t *testing.T) {
	good := weightsFile(t, 1)
	p := planOf(t, &objective{fromFile(good)}, nil)
	build := func(ctx context.Context, path string, deadline time.Duration) error {
		for i := range p.Params {
			p.Params[i].Init.Path = path
		}
		_, err := program.Build(devicetest.New(t, 0), param.NewStore(), p, tiny(), tinyBatch, 1,
			program.Options{Plugin: "test", Context: ctx, Deadline: deadline})
		return err
	}
	dir := t.TempDir()
	pipe, sparse, header, whole := filepath.Join(dir, "pipe"), filepath.Join(dir, "sparse"), filepath.Join(dir, "header"), filepath.Join(dir, "whole")
	must.Do(t, syscall.Mkfifo(pipe, 0o600))
	const huge = 1 << 40
	for path, text := range map[string]string{
		sparse: "",
		header: `{"__metadata__":{"digest":"x"},"w":{"dtype":"F32","shape":[268435456,1024],"data_offsets":[0,1099511627776]}}`,
		whole: `{"__metadata__":{"digest":"x"},"other":{"dtype":"F32","shape":[268435456,1024],"data_offsets":[0,1099511627776]},` +
			`"w":{"dtype":"F32","shape":[3,8],"data_offsets":[1099511627776,1099511627872]}}`,
	} {
		start := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
		size := int64(len(start)) + huge
		if path == whole {
			size += 96
		}
		must.Do(t, os.WriteFile(path, start, 0o600))
		if err := os.Truncate(path, size); err != nil {
			t.Skip(err) // a file system without sparse files
		}
	}
	for _, c := range []struct{ path, compiler, author string }{
		{"/dev/zero", "is a device", "is a device"},
		{pipe, "is a pipe", "is a pipe"},
		{dir, "is a folder", "is a folder"},
		{sparse, "not a valid safetensors file", "not a valid safetensors file"},
		{header, "tensor w is [268435456, 1024], [3, 8] is wanted", ""},
		{whole, "was not read within 50ms; raise objective.deadline", ""},
	} {
		if _, err := sdk.OpenWeights(c.path); c.author != "" && (err == nil || !strings.Contains(err.Error(), c.author)) {
			t.Errorf("SDK, %s: %v, want %q", c.path, err, c.author)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := build(context.Background(), c.path, 50*time.Millisecond)
		runtime.ReadMemStats(&after)
		var failed *program.Error
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), c.compiler) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v, want %q", c.path, err, c.compiler)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%s: %d bytes were allocated", c.path, used)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := build(ctx, whole, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that ends while the file is read: %v", err)
	}
	// More tensors than the plan names are no fault.
	both := filepath.Join(dir, "both")
	values := make([]float32, 24)
	must.Do(t, tensor.WriteSafetensors(both, []tensor.Tensor{tensor.NewF32("v", tensor.Shape{24}, values), tensor.NewF32("w", tensor.Shape{3, 8}, values)}, nil))
	p = planOf(t, &objective{fromFile(both)}, nil)
	if err := build(context.Background(), both, time.Hour); err != nil {
		t.Error(err)
	}
}
