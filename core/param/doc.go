// Package param holds the named float32 arrays that outlive every graph (weights and buffers),
// their initialization, and the store of a run.
package param
