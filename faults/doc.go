// Package faults holds no code, only tests that break a running vittool from outside, as machines
// and people do: the process or its objective is killed at a random moment, the disk is full, the
// run folder cannot be written. Each test drives the built program and checks the run folder that
// is left.
//
// A few kills are part of the ordinary tests; more are had with
//
//	go test ./faults -kills 20 -v
package faults
