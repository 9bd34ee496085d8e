// Package devicetest gives tests a device.
package devicetest

import (
	"testing"

	"github.com/vittool/vittool/core/device"
)

// New returns a CPU that is closed at the end of the test.
func New(t testing.TB, threads int) *device.CPU {
	t.Helper()
	cpu, err := device.NewCPU(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cpu.Close)
	return cpu
}
