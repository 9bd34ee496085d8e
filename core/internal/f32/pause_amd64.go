package f32

// pause tells the processor that this is a spin loop.
func pause() { pauseSpin() }
