package check_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vittool/vittool/plugins/check"
	"github.com/vittool/vittool/plugins/host"
)

func conforms(t *testing.T, o host.Options) {
	t.Helper()
	for _, r := range check.Run(context.Background(), o) {
		if r.Err != nil {
			t.Errorf("%s: %v", r.Name, r.Err)
		}
		t.Logf("%s: %s", r.Name, r.Note)
	}
}

// The example in Go, built as its author would and checked as a third party's program.
func TestGoExample(t *testing.T) {
	program := filepath.Join(t.TempDir(), "simmim.exe") // Windows insists on the ending, others do not mind
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = "../../examples/simmim-go"
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	conforms(t, host.Options{Path: program})
}

// The example in Python is checked where Python and its gRPC packages are installed; VITTOOL_PYTHON
// names the interpreter, python3 unless set.
func TestPythonExample(t *testing.T) {
	python := os.Getenv("VITTOOL_PYTHON")
	if python == "" {
		python = "python3"
	}
	python, err := exec.LookPath(python)
	if err == nil {
		err = exec.Command(python, "-c", "import grpc, grpc_tools").Run()
	}
	if err != nil {
		t.Logf("no Python with grpcio and grpcio-tools here (%v): the Python example was not run", err)
		return
	}
	conforms(t, host.Options{Path: python, Args: []string{"../../examples/python/simmim.py"}})
}
