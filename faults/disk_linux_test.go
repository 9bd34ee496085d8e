package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
)

// mustExplain checks how a run that could not write has ended.
func mustExplain(t *testing.T, p *program, code int, words ...string) {
	t.Helper()
	out := p.output.String()
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("the message does not say %q", w)
		}
	}
	if strings.Contains(out, "panic") || strings.Contains(out, "goroutine ") {
		t.Error("a panic reached the user")
	}
	if t.Failed() {
		t.Logf("output:\n%s", out)
	}
}

// TestFileSizeLimit lets no file grow beyond half a checkpoint: the run must say so and leave no
// half of one. The limit needs no privileges, so this runs everywhere; TestFullDisk below is the
// real thing where mounting is permitted.
func TestFileSizeLimit(t *testing.T) {
	tmp, run := t.TempDir(), filepath.Join(t.TempDir(), "run")
	const shell = `ulimit -f 8192 && exec "$@"` // blocks of 512 or 1024 bytes: 4 or 8 MB
	p := command(t, tmp, plain.pretrain(run), "sh", "-c", shell, "sh").start()
	mustExplain(t, p, p.wait(), "checkpoint", "file too large")
	mustBeReadable(t, run)
	mustBeTidy(t, run, tmp)
}

// TestFullDisk trains on a file system with space for some checkpoints, not for all: the run must
// name the fault and lose none of those it has written, and go on from them to the same weights
// once there is space.
func TestFullDisk(t *testing.T) {
	small := t.TempDir()
	namespace := []string{"unshare", "--mount"}
	if os.Getuid() != 0 {
		namespace = append(namespace, "--map-root-user")
	}
	probe := append(namespace, "mount", "-t", "tmpfs", "tmpfs", small)
	if out, err := exec.Command(probe[0], probe[1:]...).CombinedOutput(); err != nil {
		t.Logf("no small file system can be mounted here, TestFileSizeLimit stands in: %v: %s", err, out)
		return
	}

	want := plain.undisturbed(t)
	tmp, out := t.TempDir(), t.TempDir()
	run := filepath.Join(small, "run")
	// The mount ends with the namespace, so its files are copied out first.
	shell := `mount -t tmpfs -o size=40m tmpfs "$1" && copy="$2" && small="$1" && shift 2 && { "$@"; code=$?; cp -a "$small/run" "$copy"; exit $code; }`
	p := command(t, tmp, plain.pretrain(run), append(namespace, "sh", "-c", shell, "sh", small, out)...).start()
	mustExplain(t, p, p.wait(), "is full", run)
	run = filepath.Join(out, "run")
	mustBeReadable(t, run)
	mustBeTidy(t, run, tmp)
	kept := mustHaveWholeCheckpoints(t, run)
	if kept == 0 {
		t.Fatal("no checkpoint was kept: the file system is too small for this test to show anything")
	}
	t.Logf("%d checkpoints were written before the disk was full", kept)

	p = command(t, tmp, plain.pretrain(run, "--resume")).start()
	if code := p.wait(); code != 0 {
		t.Fatalf("resuming with space ended with %d:\n%s", code, p.output)
	}
	if got := finalDigest(t, run); got != want {
		t.Errorf("weights differ from those of the undisturbed run: %s, want %s", got, want)
	}
}

// unprivileged makes the program run as a user to whom permissions apply.
func unprivileged(p *program) {
	if os.Getuid() == 0 {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		p.cmd.Env = append(p.cmd.Env, "HOME=/")
	}
}

// openFolder makes a folder that any user can reach and write.
func openFolder(t *testing.T) string {
	t.Helper()
	dir := must.Get(os.MkdirTemp("", "faults-"))(t)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must.Do(t, os.Chmod(dir, 0o777))
	return dir
}

// TestReadOnlyFolder: a run that cannot create its folder says so at once.
func TestReadOnlyFolder(t *testing.T) {
	tmp, parent := openFolder(t), openFolder(t)
	must.Do(t, os.Chmod(parent, 0o555))
	run := filepath.Join(parent, "run")
	p := command(t, tmp, plain.pretrain(run))
	unprivileged(p)
	p.start()
	code := p.wait()
	if code == 2 { // a folder that cannot be written may also count as a wrong setting
		code = 1
	}
	mustExplain(t, p, code, "permission denied", parent)
	if hasRun(run) {
		t.Error("there is a run in a folder that cannot be written")
	}
	mustBeTidy(t, parent, tmp)
}

// TestFolderTurnsReadOnly takes the permission away while the run goes on.
func TestFolderTurnsReadOnly(t *testing.T) {
	want := plain.undisturbed(t)
	tmp, parent := openFolder(t), openFolder(t)
	run := filepath.Join(parent, "run")
	p := command(t, tmp, plain.pretrain(run))
	unprivileged(p)
	p.start()
	if !p.until("two checkpoints", func() bool { return loggedSteps(run) > 2*checkpointEvery }) {
		t.Fatalf("ended early:\n%s", p.output)
	}
	checkpoints := filepath.Join(run, runs.CheckpointsDir)
	must.Do(t, os.Chmod(checkpoints, 0o555))
	mustExplain(t, p, p.wait(), "permission", checkpoints)
	mustBeReadable(t, run)
	if kept := mustHaveWholeCheckpoints(t, run); kept < 2 {
		t.Errorf("%d checkpoints, want at least the 2 written before", kept)
	}
	must.Do(t, os.Chmod(checkpoints, 0o755))
	p = command(t, tmp, plain.pretrain(run, "--resume"))
	unprivileged(p)
	p.start()
	if code := p.wait(); code != 0 {
		t.Fatalf("resuming with permission ended with %d:\n%s", code, p.output)
	}
	mustBeTidy(t, run, tmp)
	if got := finalDigest(t, run); got != want {
		t.Errorf("weights differ from those of the undisturbed run: %s, want %s", got, want)
	}
}
