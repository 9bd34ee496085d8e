// Package param holds the named float32 arrays that outlive every graph: weights and buffers,
// their initialisation, and the store that a run keeps them in.
package param
