// Package data turns a place where images lie into batches of normalized float32 views.
//
// A Source is an ordered set of images: a folder, a list file, tar shards or drawn demo scenes. A
// Loader walks it epoch by epoch in a shuffled order, decodes ahead in several goroutines, cuts the
// views that an objective asks for and hands out batches in order.
//
// Every random choice is a pure function of (seed, epoch, sample id, view name, purpose), so
// neither the number of workers nor a resume changes a bit. A sample id is a place in the Source.
package data
