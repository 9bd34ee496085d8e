package train

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// systemMemory is the least of three bounds, in bytes: the memory of the machine and the limits of
// this process's control groups, both with the machine's swap, and the rest of its resource limits.
// It is 0 where none is known. root is the folder of the system's files.
func systemMemory(root string) (bound int64, of string) {
	least := func(bytes int64, whose string) {
		if bytes > 0 && (bound == 0 || bytes < bound) {
			bound, of = bytes, whose
		}
	}
	total, swap := machineMemory(filepath.Join(root, "proc/meminfo"))
	if total > 0 {
		least(total+swap, "this machine has")
	}
	for _, limit := range groupLimits(root) {
		if limit < 1<<62 { // which version 1 writes for none
			least(limit+swap, "its control group permits")
		}
	}
	statm, err := os.ReadFile(filepath.Join(root, "proc/self/statm"))
	fields := strings.Fields(string(statm))
	if err != nil || len(fields) < 6 {
		return bound, of
	}
	for _, l := range []struct{ resource, field int }{{unix.RLIMIT_AS, 0}, {unix.RLIMIT_DATA, 5}} {
		var limit unix.Rlimit
		pages, err := strconv.ParseInt(fields[l.field], 10, 64)
		if err == nil && unix.Getrlimit(l.resource, &limit) == nil && limit.Cur < 1<<62 {
			least(max(1, int64(limit.Cur)-pages*int64(os.Getpagesize())), "its limit (ulimit) leaves")
		}
	}
	return bound, of
}

// machineMemory reads total memory and swap in bytes; zeros when they can't be read.
func machineMemory(path string) (total, swap int64) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, 0
	}
	for s := bufio.NewScanner(bytes.NewReader(content)); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = kib << 10
		case "SwapTotal:":
			swap = kib << 10
		}
	}
	return total, swap
}

// groupLimits lists the memory limits of the control groups that this process is in, of both
// versions of them, and of the groups that hold those.
func groupLimits(root string) []int64 {
	content, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil
	}
	var limits []int64
	for line := range strings.Lines(string(content)) { // id:controllers:path
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) < 3 {
			continue
		}
		top, file := filepath.Join(root, "sys/fs/cgroup"), "memory.max"
		switch {
		case part[0] == "0" && part[1] == "":
		case strings.Contains(","+part[1]+",", ",memory,"):
			top, file = filepath.Join(top, "memory"), "memory.limit_in_bytes"
		default:
			continue
		}
		for dir := filepath.Join("/", part[2]); ; dir = filepath.Dir(dir) {
			text, err := os.ReadFile(filepath.Join(top, dir, file))
			limit, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && bad == nil { // "max" is no limit
				limits = append(limits, limit)
			}
			if dir == "/" {
				break
			}
		}
	}
	return limits
}
