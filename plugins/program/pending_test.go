package program_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/plugins/sdk"
)

// Queues, banks and centers stand still within a step of several micro-batches and then take all of
// them; a buffer without a reduction follows each micro-batch.
func TestPendingUpdates(t *testing.T) {
	m, store := compiled(t, func(b *sdk.Builder) error {
		v := b.View("a")
		x := b.Student("s", v).Class() // [4,8]
		ids := b.SampleIDs()
		rows := b.MeanRow(b.Mul(x, x))
		update := func(f sdk.BufferSpec, value sdk.Tensor, rows ...sdk.Tensor) {
			f.Init = sdk.InitZeros()
			b.Update(b.Buffer(f), value, rows...)
		}
		update(sdk.BufferSpec{Name: "queue", Shape: []int{6, 8}, Update: sdk.UpdateRing, Reduction: sdk.ReduceGather}, x)
		update(sdk.BufferSpec{Name: "newest", Shape: []int{10, 8}, Update: sdk.UpdateNewestFirst, Reduction: sdk.ReduceGather}, x)
		update(sdk.BufferSpec{Name: "bank", Shape: []int{16, 8}, Update: sdk.UpdateRows, Reduction: sdk.ReduceGather}, x, ids)
		update(sdk.BufferSpec{Name: "mean", Shape: []int{1, 8}, Reduction: sdk.ReduceMean}, rows)
		update(sdk.BufferSpec{Name: "sum", Shape: []int{1, 8}, Reduction: sdk.ReduceSum}, rows)
		update(sdk.BufferSpec{Name: "last", Shape: []int{1, 8}}, rows)
		return b.Minimize(b.Mean(b.Mul(x, x)))
	}, nil)
	var moving []string
	for _, b := range program.MovingBuffers(store, m.Plan) {
		moving = append(moving, b.Name)
	}
	if !slices.Equal(moving, []string{"buffer.last"}) {
		t.Errorf("the buffers %q move within a step, want the last one alone", moving)
	}
	data := func(name string) []float32 { return store.Get("buffer." + name).Data }
	var pending program.Pending
	var last [][]float32
	var first []float32   // rows that the first step put in front
	for step := range 2 { // the second finds used memory
		before := map[string][]float32{}
		for _, name := range []string{"queue", "queue.position", "newest", "bank", "mean", "sum"} {
			before[name] = slices.Clone(data(name))
		}
		for micro, ids := range [][]uint64{{3, 1, 4, 2}, {5, 9, 2, 6}} {
			v := m.View("a")
			for i := range v {
				v[i] = float32((i*(micro+2)+step)%7) / 7
			}
			programtest.Step(t, m, program.Inputs{Step: uint64(step), IDs: ids})
			if err := m.CommitMicro(&pending); err != nil {
				t.Fatal(err)
			}
			last = append(last, slices.Clone(data("last")))
			for name, old := range before {
				if !slices.Equal(data(name), old) {
					t.Fatalf("%s changed within the step", name)
				}
			}
		}
		pending.Apply()
		if step == 0 {
			first = slices.Clone(data("newest")[:16])
		}
	}
	for i, sum := range data("sum") {
		programtest.Near(t, "sum", float64(sum), float64(last[2][i]+last[3][i]), 1e-5)
		programtest.Near(t, "mean", 2*float64(data("mean")[i]), float64(sum), 1e-5)
	}
	if got := data("queue.position")[0]; got != 16%6 {
		t.Errorf("the ring stands at %g, want 4 after 16 rows of 6", got)
	}
	queue, bank := data("queue"), data("bank")
	for place, id := range map[int]int{1: 9, 2: 2, 3: 6, 0: 5} { // the last four rows written, and those of the bank
		if row := (place + 16 - 4) % 6; !slices.Equal(queue[row*8:][:8], bank[id*8:][:8]) {
			t.Errorf("row %d of the ring does not hold sample %d", row, id)
		}
	}
	newestFirst(t, data("newest"), bank, first)
	programtest.Step(t, m, program.Inputs{Step: 2, IDs: []uint64{3, 1, 4, 99}})
	before := slices.Clone(bank)
	if err := m.CommitMicro(&pending); err == nil || !strings.Contains(err.Error(), "row 99") {
		t.Errorf("error %v: want one about row 99", err)
	}
	if pending.Apply(); !slices.Equal(before, bank) {
		t.Error("a refused update was written in part")
	}
}

// newestFirst checks a buffer of ten rows after two steps of eight: the rows of both micro-batches
// of the second step stand in front, in their order, and of the first step those of its first
// micro-batch are left in part. bank has the row of each sample, but of sample 2 an earlier one;
// first are the two rows in front after the first step.
func newestFirst(t *testing.T, newest, bank, first []float32) {
	t.Helper()
	for place, id := range []int{3, 1, 4, 2, 5, 9, 2, 6} {
		if id != 2 && !slices.Equal(newest[place*8:][:8], bank[id*8:][:8]) {
			t.Errorf("row %d does not hold sample %d", place, id)
		}
	}
	if !slices.Equal(newest[8*8:], first) {
		t.Errorf("the rows behind the newest ones are %v, want %v", newest[8*8:], first)
	}
}
