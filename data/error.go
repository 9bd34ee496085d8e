package data

import "fmt"

// Error is a problem with the user's data: fault, place and remedy. Commands that see one in an
// error chain exit with the code of data errors.
type Error struct {
	Path    string // file or folder, as the user would name it
	Problem string // the fault
	Hint    string // the remedy; may be empty
	Err     error  // cause; may be nil
}

func (e *Error) Error() string {
	s := e.Path + ": " + e.Problem
	if e.Path == "" {
		s = e.Problem
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

func problem(path, hint, format string, args ...any) *Error {
	return &Error{Path: path, Problem: fmt.Sprintf(format, args...), Hint: hint}
}
