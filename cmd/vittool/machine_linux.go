package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memory returns the memory that this process may still take and the total, in bytes: the
// machine's, or the limit of its control group when that is tighter.
func memory() (available, total uint64, err error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			available = kib << 10
		}
	}
	if total == 0 {
		return 0, 0, fmt.Errorf("/proc/meminfo has no MemTotal")
	}
	limit, used := groupMemory()
	if limit > 0 && limit < total {
		total = limit
		available = min(available, limit-min(used, limit))
	}
	return available, total, nil
}

// groupMemory reads limit and use of the control group; zeros when there is none.
func groupMemory() (limit, used uint64) {
	read := func(path string) uint64 {
		content, err := os.ReadFile(path)
		if err != nil {
			return 0
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 64)
		if err != nil {
			return 0 // "max": no limit
		}
		return n
	}
	return read("/sys/fs/cgroup/memory.max"), read("/sys/fs/cgroup/memory.current")
}

// anonymousMemory reports why memory without a path can't be shared, or nil.
func anonymousMemory() error {
	fd, err := unix.MemfdCreate("vittool-doctor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 4096); err != nil {
		return fmt.Errorf("memfd: %w", err)
	}
	return nil
}
