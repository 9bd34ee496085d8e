package device

import "github.com/vittool/vittool/core/internal/f32"

// Budget bounds the memory that the graphs of a device, and a store whose Alloc is that of the
// budget, take together. Go ends a process without memory and gives no reason; a request over the
// budget is an error instead. Memory never returns to the budget. It is not safe for concurrent
// use.
type Budget struct {
	Limit int64 // bytes
	Used  int64 // bytes
	// Wanted is the sum of Used and the first refused request, in bytes; 0 without one. All later
	// requests are refused too.
	Wanted int64
}

// Alloc returns n zeroed floats, nil if they exceed the budget.
func (b *Budget) Alloc(n int) []float32 {
	if b == nil {
		return f32.Alloc(n)
	}
	want := b.Used + 4*int64(n)
	if b.Wanted > 0 || want > b.Limit {
		if b.Wanted == 0 {
			b.Wanted = want
		}
		return nil
	}
	b.Used = want
	return f32.Alloc(n)
}
