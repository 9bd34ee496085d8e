// Package train holds the one training loop of vittool.
//
// [Pretrain] in pretrain.go is the place to start reading: it goes from the loader to the
// checkpoint in the order in which things happen, and it is the same for every objective. The loop
// stands on a run (run.go) of three parts:
//
//	setup.go       opened and checked before the first step: images, objective, network
//	state.go       everything that a checkpoint holds: parameters, optimizer, step
//	recorder.go    the run folder: run.json, metrics, log, pictures, checkpoints
//
// and on
//
//	resume.go      going on with the run that a folder holds
//	feed.go        batches and masks of coming steps, fetched ahead
//	graphs.go      the compiled plan: inputs, loss and gradients of a batch
//	evaluator.go   loss and targets that the plugin computes itself
//	gradients.go   accumulation over micro-batches, clipping
//	online.go      evaluation of the features while the run goes on
//	epochs.go      steps and epochs, schedules of learning rate and weight decay
//	means.go       means over a step's micro-batches and an epoch's steps
//	checkpoint.go  the content of a checkpoint, and when one is due
//	result.go      how a run ends
//	targets.go     cached targets: outputs of frozen networks for views that never change
//	tensorboard.go metrics for TensorBoard
//	progress.go    the view of a user interface on a run
//
// The run folder and the checkpoint format are those of package runs.
package train
