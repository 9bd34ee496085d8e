//go:build !linux && !darwin

package main

// freeDisk returns the bytes that may still be written below path.
func freeDisk(string) (uint64, error) { return 0, errUnknown }
