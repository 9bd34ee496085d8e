// Package train holds the one training loop of vittool and the run folder it
// writes.
//
// [Pretrain] in pretrain.go is the place to start reading: it goes from the
// loader to the checkpoint in the order in which things happen, and it is the
// same for every objective. The other files are what the loop stands on:
//
//	folder.go      the run folder: create, lock, resume, run.json
//	checkpoint.go  what a checkpoint holds, how the newest valid one is found
//	metrics.go     metrics.jsonl, cut back to the checkpoint at resume
//	tensorboard.go the same numbers for TensorBoard
//	feed.go        batches and masks of coming steps, fetched ahead
//	targets.go     what frozen networks say of views that never change, kept between runs
//	progress.go    what a user interface gets to see
//
// A run folder is readable at every moment: every file in it is either
// replaced atomically or appended to by whole lines.
package train
