package train

import (
	"time"

	"github.com/vittool/vittool/runs"
)

// Progress observes the loop. Implementations draw a bar, print plain lines or emit JSON; all calls
// come from the loop's goroutine.
type Progress interface {
	// Start is called once, before the first step.
	Start(Overview)
	// Step is called after every optimizer step.
	Step(Step)
	// Evaluated is called after every evaluation of features (eval.every).
	Evaluated(runs.EvalLine)
	// Event reports something a person may want to read, such as "checkpoint written".
	Event(message string)
	// Warning reports something a person must read, however little is shown otherwise: a damaged
	// checkpoint, bits that will differ.
	Warning(message string)
	// Done is called once, after the last checkpoint.
	Done(*Result)
}

// Overview describes a run before its first step.
type Overview struct {
	RunDir        string
	Objective     string
	Model         string
	Parameters    int64   // trainable and fixed numbers of backbone and heads
	Images        int     // in the data set
	BatchSize     int     // images per optimizer step, accumulation included
	StepsPerEpoch float64 // mean; not whole where an epoch ends within a step
	FirstStep     int     // number of steps already done; 0 for a new run
	TotalSteps    int
	StepFLOPs     float64 // model FLOPs of one optimizer step
	StepBytes     int64   // memory for activations and gradients, besides that of parameters and optimizer
	ImageBytes    int64   // estimate of the most memory that reading and keeping images takes
}

// Step is one optimizer step as it is logged.
type Step struct {
	runs.StepLine
	Duration time.Duration
}

// Result sums up a finished or interrupted run.
type Result struct {
	runs.FinalLoss
	Eval        *runs.EvalLine `json:"eval,omitempty"` // newest evaluation
	RunDir      string         `json:"run"`
	Step        int            `json:"step"`
	TotalSteps  int            `json:"total_steps"`
	Checkpoint  string         `json:"checkpoint"` // path of the newest one
	Digest      string         `json:"digest"`     // SHA-256 over its tensors
	Elapsed     time.Duration  `json:"-"`
	ElapsedS    float64        `json:"elapsed_s"`
	ImagesPerS  float64        `json:"images_per_s"` // mean over this process
	DataWait    float64        `json:"data_wait"`    // share of time spent waiting for data
	Skipped     int            `json:"skipped"`      // images that could not be read
	Interrupted bool           `json:"interrupted"`
	Failed      bool           `json:"failed"` // an error ended it, with a checkpoint of the work so far
}

type silent struct{}

func (silent) Start(Overview)          {}
func (silent) Step(Step)               {}
func (silent) Evaluated(runs.EvalLine) {}
func (silent) Event(string)            {}
func (silent) Warning(string)          {}
func (silent) Done(*Result)            {}
