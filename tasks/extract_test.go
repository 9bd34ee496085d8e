package tasks

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
)

func openData(t testing.TB, path string) data.Source {
	t.Helper()
	src := must.Get(data.Open(data.Options{Path: path}))(t)
	t.Cleanup(func() { src.Close() })
	return src
}

// TestExtract: batch size, threads and workers change no bit; a feature is made of the tokens and
// blocks that the options name.
func TestExtract(t *testing.T) {
	m := smallModel(t)
	src := openData(t, "demo:?count=23&size=16")
	extract := func(threads int, o ExtractOptions) *Features {
		t.Helper()
		f := must.Get(m.Extract(context.Background(), devicetest.New(t, threads), src, o))(t)
		return f
	}
	first := extract(1, ExtractOptions{Pool: PoolBoth})
	if first.Rows != 23 || first.Dim != 48 || len(first.Labels) != 23 || first.Names[22] != src.Name(22) {
		t.Fatalf("%d rows of %d with %d labels", first.Rows, first.Dim, len(first.Labels))
	}
	must.Do(t, first.Check("demo", true))
	for _, o := range []ExtractOptions{{BatchSize: 1}, {BatchSize: 5, Workers: 3}, {BatchSize: 23, Workers: 1}} {
		o.Pool = PoolBoth
		if got := extract(2, o); !reflect.DeepEqual(got, first) {
			t.Errorf("batches of %d by %d workers give other features", o.BatchSize, o.Workers)
		}
	}
	class, mean := extract(2, ExtractOptions{Pool: PoolClass}), extract(2, ExtractOptions{})
	for i := range 23 {
		row := first.Data[i*48 : (i+1)*48]
		if !reflect.DeepEqual(row[:24], class.Data[i*24:(i+1)*24]) || !reflect.DeepEqual(row[24:], mean.Data[i*24:(i+1)*24]) {
			t.Fatalf("row %d of both is not class token, then mean", i)
		}
	}
	// The last block is the default; several blocks stand side by side.
	if got := extract(2, ExtractOptions{Pool: PoolBoth, Blocks: []int{m.Info.Depth - 1}}); !reflect.DeepEqual(got, first) {
		t.Error("the last block gives other features than none")
	}
	two, one := extract(2, ExtractOptions{Blocks: []int{0, -1}}), extract(2, ExtractOptions{Blocks: []int{0}})
	for i := range 23 {
		row := two.Data[i*48 : (i+1)*48]
		if early := one.Data[i*24 : (i+1)*24]; !reflect.DeepEqual(row[:24], early) || !reflect.DeepEqual(row[24:], mean.Data[i*24:(i+1)*24]) || reflect.DeepEqual(early, row[24:]) {
			t.Fatalf("row %d of two blocks is not the first, then the last", i)
		}
	}
	// At another size than the model's, positions are resampled.
	if f := extract(2, ExtractOptions{Height: 24, Width: 16}); f.Rows != 23 {
		t.Errorf("24 × 16 pixels: %d rows", f.Rows)
	}
}

func TestExtractSkipsUnreadable(t *testing.T) {
	m := smallModel(t)
	dir := t.TempDir()
	for i := range 4 {
		writeTestImage(t, filepath.Join(dir, fmt.Sprintf("%d.png", i)), 20, 30, i)
	}
	must.Do(t, os.WriteFile(filepath.Join(dir, "1a.png"), []byte("no image"), 0o644))
	src := openData(t, dir)
	e := devicetest.New(t, 2)
	var skipped []string
	f := must.Get(m.Extract(context.Background(), e, src, ExtractOptions{MaxFailed: 0.5, BatchSize: 2, OnSkip: func(name string, _ error) { skipped = append(skipped, name) }}))(t)
	if want := []string{"0.png", "1.png", "2.png", "3.png"}; !reflect.DeepEqual(f.Names, want) || !reflect.DeepEqual(skipped, []string{"1a.png"}) || len(f.Data) != 4*24 {
		t.Errorf("features of %v, skipped %v", f.Names, skipped)
	}
	for name, o := range map[string]ExtractOptions{
		"too many": {},
		"at once":  {OnError: data.Fail, MaxFailed: 1},
	} {
		var problem *data.Error
		if _, err := m.Extract(context.Background(), e, src, o); !errors.As(err, &problem) || !strings.Contains(err.Error(), "1a.png") {
			t.Errorf("%s: error %v, want a data error that names 1a.png", name, err)
		}
	}
}

func TestExtractRefuses(t *testing.T) {
	m := smallModel(t)
	e := devicetest.New(t, 1)
	src := openData(t, "demo:?count=3&size=16")
	for name, c := range map[string]struct {
		o    ExtractOptions
		want string
	}{
		"pool":  {ExtractOptions{Pool: "max"}, "[mean class both]"},
		"size":  {ExtractOptions{Height: 18, Width: 16}, "not a multiple"},
		"batch": {ExtractOptions{BatchSize: -1}, "batch size -1"},
		"block": {ExtractOptions{Blocks: []int{m.Info.Depth}}, fmt.Sprintf("block %d: %s has %[1]d blocks", m.Info.Depth, m.Info.Name)},
		"twice": {ExtractOptions{Blocks: []int{-1, m.Info.Depth - 1}}, "stands twice"},
	} {
		if _, err := m.Extract(context.Background(), e, src, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	gray := must.Get(data.Open(data.Options{Path: "demo:?count=3&size=16", Channels: 1}))(t)
	defer gray.Close()
	if _, err := m.Extract(context.Background(), e, gray, ExtractOptions{}); err == nil || !strings.Contains(err.Error(), "3 channels") {
		t.Errorf("channels: %v", err)
	}
}

// TestExtractStopsAtNonFinite: features that no task can use end the command at the first batch.
func TestExtractStopsAtNonFinite(t *testing.T) {
	m := smallModel(t)
	for _, p := range m.Backbone.Parameters() {
		p.Data[0] = float32(math.NaN())
	}
	batches := 0
	_, err := m.Extract(context.Background(), devicetest.New(t, 1), openData(t, "demo:?count=9&size=16"), ExtractOptions{BatchSize: 2, Progress: func(_, _ int) { batches++ }})
	if err == nil || !strings.Contains(err.Error(), "weights are not usable") || batches > 0 {
		t.Errorf("error %v after %d batches", err, batches)
	}
}
