package device

import "github.com/vittool/vittool/core/internal/f32"

// Budget is how much memory a device's graphs, and a store whose Alloc is the
// budget's, may take together. Go ends a process that has no more memory, without
// a chance to say why; what a budget refuses is an error. Nothing is given back to
// it. It is not safe for concurrent use.
type Budget struct {
	Limit int64 // bytes
	Used  int64
	// Wanted is what would have been used with the first request that was refused;
	// 0 while there was none. All further requests are refused.
	Wanted int64
}

// Alloc returns n zeroed floats, or nil where they are more than is left.
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
