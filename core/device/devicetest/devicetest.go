// Package devicetest gives tests a device.
package devicetest

import (
	"testing"

	"github.com/vittool/vittool/core/device"
)

// New returns a CPU that the test closes.
func New(t testing.TB, threads int) *device.CPU {
	t.Helper()
	e, err := device.NewCPU(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}
