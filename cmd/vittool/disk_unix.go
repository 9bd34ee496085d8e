//go:build linux || darwin

package main

import "golang.org/x/sys/unix"

// freeDisk returns the bytes that may still be written below path.
func freeDisk(path string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}
