package sdk

// Info describes an objective to people and to the host.
type Info struct {
	Name    string // lower-case letters, digits, - and _, e.g. "mae"
	Version string // semantic version of the objective
	Summary string // one line
	Paper   string // title, authors, year, link
	License string // SPDX identifier
}

// Objective is implemented by a struct whose fields with an `option` tag are its options; their
// values in the prototype given to Serve are the defaults. Options that several objectives share
// are structs of their own, such as TwoCrops, and are embedded.
//
// Plan runs on a fresh copy of the prototype with the user's options filled in. It must be
// deterministic: after a crash the process is started again and has to give the same plan. It may
// keep values for Mask functions, Targets and Evaluate in the receiver; after Plan the receiver
// must not change, because calls may run at the same time.
type Objective interface {
	Info() Info
	Plan(b *Builder) error
}

// Validator is an objective, or an exported struct of options embedded in one, whose options have
// limits that tags cannot say. Validate is called before Plan, with the user's options.
type Validator interface {
	// Validate returns an error that names the option, its value and valid ones.
	Validate() error
}

// Targeter is an objective that computes targets itself, for instance with a tokenizer of its own.
// Its plan declares them with Builder.Target.
type Targeter interface {
	Objective
	// Targets fills every tensor declared with Builder.Target for the samples of the call. Same
	// call, same result: it may be repeated after a crash.
	Targets(c *TargetsCall) error
}

// Evaluator is an objective that computes a loss itself, with gradients, because the operators
// cannot express it. Its plan calls Builder.Evaluate.
type Evaluator interface {
	Objective
	// Evaluate returns the loss (and named numbers to log) and writes the gradients and buffer
	// updates of the call. Same call, same result: it may be repeated after a crash, and values
	// that an earlier attempt wrote are undefined.
	Evaluate(c *EvaluateCall) (loss float64, metrics map[string]float64, err error)
}
