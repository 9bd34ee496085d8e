package configs

import (
	"fmt"
	"strings"
)

// Error is one thing wrong with the settings of a run. It says which key, which value, where the
// value came from, the fault, and the remedy.
type Error struct {
	Key     string // for instance train.epochs; empty when no key is at fault
	Value   string // as it was written; empty when there is none
	Source  string // for instance "run.yaml:12", "flag --epochs", "environment VITTOOL_TRAIN_EPOCHS"
	Problem string
	Hint    string // the remedy; may be empty
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Source != "" {
		b.WriteString(e.Source)
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key)
		if e.Value != "" {
			fmt.Fprintf(&b, " = %s", e.Value)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Problem)
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Errors is everything wrong with the settings at once. errors.As finds the first *Error in it.
type Errors []*Error

func (es Errors) Error() string {
	if len(es) == 1 {
		return es[0].Error()
	}
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return fmt.Sprintf("%d problems in the configuration:\n  %s", len(es), strings.Join(lines, "\n  "))
}

// Unwrap lets errors.Is and errors.As look at each problem.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// err returns nil for an empty list, so that callers can return it as an error.
func (es Errors) err() error {
	if len(es) == 0 {
		return nil
	}
	return es
}
