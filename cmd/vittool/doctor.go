package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/core/device"
	"golang.org/x/sys/cpu"
)

// check is one line of the doctor's report.
type check struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warn or fail
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // the remedy of a check that is not ok
}

const (
	stateOK   = "ok"
	stateWarn = "warn"
	stateFail = "fail"
)

func newDoctorCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check that this machine can train, and how fast",
		Long: `Check the needs of training: cores, kernels, memory, disk, and
the means by which objectives run in processes of their own. Each line says ok,
warn or fail, and the remedy.`,
		Example: `  vittool doctor
  vittool doctor --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd.Context(), cmd.OutOrStdout(), asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func runDoctor(ctx context.Context, w io.Writer, asJSON bool) error {
	checks := []check{checkCores(), checkFeatures()}
	checks = append(checks, checkKernels()...)
	checks = append(checks, checkMemory(), checkDisk(), checkSharedMemory(), checkSockets(), checkPlugin(ctx))
	if asJSON {
		if err := ui.JSON(w, checks); err != nil {
			return err
		}
	} else if err := writeChecks(w, checks); err != nil {
		return err
	}
	var failed []string
	for _, c := range checks {
		if c.State == stateFail {
			failed = append(failed, c.Name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("this machine can't train yet: see %s above", strings.Join(failed, ", "))
	}
	return nil
}

func writeChecks(w io.Writer, checks []check) error {
	t := ui.NewTable()
	for _, c := range checks {
		t.Row(c.State, c.Name, c.Found)
		if c.Advice != "" {
			t.Row("", "", "→ "+c.Advice)
		}
	}
	return t.Write(w)
}

func checkCores() check {
	c := check{Name: "cores", State: stateOK, Found: fmt.Sprintf("%d, of which this process may use %d", runtime.NumCPU(), runtime.GOMAXPROCS(0))}
	if runtime.GOMAXPROCS(0) == 1 {
		c.State, c.Advice = stateWarn, "with one core, reading images and computing take turns"
	}
	return c
}

func checkFeatures() check {
	c := check{Name: "cpu", State: stateOK}
	var has []string
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"AVX2", cpu.X86.HasAVX2},
		{"FMA", cpu.X86.HasFMA},
		{"AVX-512F", cpu.X86.HasAVX512F},
		{"AVX-512VL", cpu.X86.HasAVX512VL},
		{"AVX-512DQ", cpu.X86.HasAVX512DQ},
		{"NEON", cpu.ARM64.HasASIMD},
	} {
		if f.has {
			has = append(has, f.name)
		}
	}
	c.Found = runtime.GOARCH + " with " + strings.Join(has, ", ")
	if len(has) == 0 {
		c.Found = runtime.GOARCH + " without vector instructions that vittool knows"
	}
	return c
}

// checkKernels reports the kernel level in use and measures its peak.
func checkKernels() []check {
	dev, err := device.NewCPU(0)
	if err != nil {
		return []check{{Name: "kernels", State: stateFail, Found: err.Error(),
			Advice: "unset VITTOOL_KERNELS, or set it to a level that this processor has"}}
	}
	defer dev.Close()
	level := check{Name: "kernels", State: stateOK, Found: dev.Level()}
	if dev.Level() == "generic" {
		level.State = stateWarn
		level.Advice = "training works, about ten times slower than with AVX2; use an x86-64 processor of 2013 or later"
		if os.Getenv("VITTOOL_KERNELS") != "" {
			level.Advice = "unset VITTOOL_KERNELS to use the fastest that this processor has"
		}
	}
	peak := check{Name: "arithmetic", State: stateOK,
		Found: fmt.Sprintf("%.0f GFLOP/s at best, on %d threads", dev.Peak(), dev.Threads())}
	return []check{level, peak}
}

func checkMemory() check {
	c := check{Name: "memory", State: stateOK}
	available, total, err := memory()
	if err != nil {
		c.Found = "not known on " + runtime.GOOS
		return c
	}
	c.Found = fmt.Sprintf("%s free of %s", gibibytes(available), gibibytes(total))
	if available < 2<<30 {
		c.State, c.Advice = stateWarn, "keep train.batch_size small, and raise train.accumulate to make up for it"
	}
	return c
}

func checkDisk() check {
	c := check{Name: "disk", State: stateOK}
	f, err := os.CreateTemp(".", ".vittool-doctor-*")
	if err != nil {
		return check{Name: "disk", State: stateWarn, Found: err.Error(), Advice: "give a folder that can be written with --out"}
	}
	_ = f.Close()
	_ = os.Remove(f.Name()) // the check below doesn't depend on it
	free, err := freeDisk(".")
	if err != nil {
		c.Found = "this folder can be written"
		return c
	}
	c.Found = gibibytes(free) + " free in this folder"
	if free < 2<<30 {
		c.State, c.Advice = stateWarn, "a checkpoint of ViT-B/16 takes 1.3 GiB: make room, or set run.keep=1"
	}
	return c
}

func checkSharedMemory() check {
	c := check{Name: "shared memory", State: stateOK, Found: "anonymous, handed on to objectives without a path"}
	if err := anonymousMemory(); err != nil {
		c.State, c.Found = stateWarn, err.Error()
		c.Advice = "private files in " + os.TempDir() + " are used instead"
	}
	return c
}

// checkSockets makes a private folder with a socket in it, as the host does for each plugin.
func checkSockets() check {
	c := check{Name: "sockets", State: stateOK}
	fail := func(err error) check {
		c.State, c.Found = stateFail, err.Error()
		c.Advice = "point TMPDIR to a short path that can be written, or train with --plugin-mode inproc"
		return c
	}
	dir, err := os.MkdirTemp("", "vittool-doctor-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "plugin0123456789")
	l, err := net.Listen("unix", path)
	if err != nil {
		return fail(err)
	}
	defer l.Close()
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return fail(err)
	}
	_ = conn.Close()
	c.Found = "can be made in " + os.TempDir()
	return c
}

func gibibytes(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
