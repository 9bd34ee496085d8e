// Package runs owns the run folder and the checkpoint format. Package train writes them; everything
// else reads them through this package.
//
//	layout.go      names of files and folders, and how a run folder is recognized
//	folder.go      making, opening and locking a run folder
//	settings.go    config.yaml
//	info.go        run.json
//	metrics.go     metrics.jsonl
//	format.go      names of a checkpoint's tensors and its metadata
//	checkpoint.go  writing checkpoints and finding the newest valid one
//
// A run folder is readable at every moment: every file in it is either replaced atomically or
// appended to by whole lines.
package runs
