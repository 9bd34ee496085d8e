package faults

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A moment is when a kill comes.
type moment int

const (
	duringStep       moment = iota // any time
	duringCheckpoint               // while a checkpoint is being written
	duringMask                     // while the host waits for masks
	moments          = iota
)

func (m moment) String() string {
	return [...]string{"during a step", "during a checkpoint", "during a mask call"}[m]
}

// undisturbed returns the digest of the undisturbed run.
func (r recipe) undisturbed(t *testing.T) string {
	t.Helper()
	digest, known := digests[r]
	if !known {
		digests[r] = ""
		tmp, run := t.TempDir(), filepath.Join(t.TempDir(), "run")
		p := command(t, tmp, r.pretrain(run)).start()
		if code := p.wait(); code != 0 {
			t.Fatalf("the undisturbed run ended with %d:\n%s", code, p.output)
		}
		mustBeReadable(t, run)
		mustBeTidy(t, run, tmp)
		r.mustHaveEvaluated(t, run)
		digest = finalDigest(t, run)
		digests[r] = digest
	}
	if digest == "" {
		t.Fatal("the undisturbed run failed in an earlier test")
	}
	return digest
}

// digests of the undisturbed runs.
var digests = map[recipe]string{}

// reach lets the program run to the moment of a kill and returns the processes below it; ok is
// false when it ended before.
func reach(p *program, run string, m moment, random *rand.Rand) (below []process, ok bool) {
	p.t.Helper()
	from := loggedSteps(run)
	wait := 1 + random.IntN(3)
	ok = p.until("more steps", func() bool { return loggedSteps(run) >= from+wait })
	if !ok {
		return nil, false
	}
	below = descendants(p.t, p.cmd.Process.Pid)
	switch m {
	case duringStep:
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
	case duringCheckpoint:
		ok = p.until("a checkpoint", func() bool { return writingCheckpoint(run) })
	case duringMask:
		// An objective that stands still answers no mask call, so after a few steps' time the host
		// is inside one.
		for _, b := range below {
			b.signal(p.t, syscall.SIGSTOP)
		}
		time.Sleep(300 * time.Millisecond)
	}
	return below, ok && !p.hasEnded()
}

// TestHostKilled kills vittool itself, checks the folder, resumes, and in the end compares the
// weights with those of an undisturbed run.
func TestHostKilled(t *testing.T) { eachRecipe(t, 2, hostKilled) }

func hostKilled(t *testing.T, r recipe, first moment, kills int) {
	want := r.undisturbed(t)
	random := rand.New(rand.NewPCG(*seed, 1))
	for done := 0; done < kills; {
		before := done
		tmp, run := t.TempDir(), filepath.Join(t.TempDir(), "run")
		for chain := true; chain; {
			args := r.pretrain(run)
			if hasRun(run) {
				args = append(args, "--resume")
			}
			p := command(t, tmp, args).start()
			m := (first + moment(done)) % moments
			below, alive := []process(nil), false
			if done < kills {
				below, alive = reach(p, run, m, random)
			}
			if alive {
				p.cmd.Process.Kill()
				if code := p.wait(); code == -1 {
					done++
					t.Logf("kill %d, %v, after %d steps; a checkpoint was being written: %v", done, m, loggedSteps(run), writingCheckpoint(run))
				}
				mustBeGone(t, below)
				mustBeReadable(t, run)
				continue
			}
			if code := p.wait(); code != 0 {
				t.Fatalf("ended with %d:\n%s", code, p.output)
			}
			chain = false
		}
		mustBeReadable(t, run)
		mustBeTidy(t, run, tmp)
		r.mustHaveEvaluated(t, run)
		if got := finalDigest(t, run); got != want {
			t.Fatalf("weights differ from those of the undisturbed run: %s, want %s", got, want)
		}
		if done == before {
			t.Fatal("a whole run went by without a moment to kill it: is it too short, or the objective no process of its own?")
		}
	}
}

// TestObjectiveKilled kills the objective's process; the run goes on as if nothing had happened.
func TestObjectiveKilled(t *testing.T) { eachRecipe(t, 3, objectiveKilled) }

func objectiveKilled(t *testing.T, r recipe, first moment, kills int) {
	want := r.undisturbed(t)
	random := rand.New(rand.NewPCG(*seed, 2))
	for done := 0; done < kills; {
		before := done
		tmp, run := t.TempDir(), filepath.Join(t.TempDir(), "run")
		p := command(t, tmp, r.pretrain(run)).start()
		var all []process
		for range 4 {
			if done == kills || !p.until("the objective", func() bool { return len(descendants(t, p.cmd.Process.Pid)) > 0 }) {
				break
			}
			m := (first + 1 + moment(done)) % moments // not that of the host
			below, alive := reach(p, run, m, random)
			if !alive {
				break
			}
			if len(below) == 0 { // the one killed last is not back yet
				continue
			}
			for _, b := range below {
				b.signal(t, syscall.SIGKILL)
			}
			all = append(all, below...)
			done++
			t.Logf("kill %d, %v, after %d steps", done, m, loggedSteps(run))
		}
		for _, b := range all { // one that was stopped and not killed would hang the run
			b.signal(t, syscall.SIGCONT)
		}
		for _, b := range descendants(t, p.cmd.Process.Pid) {
			if !slices.Contains(all, b) {
				b.signal(t, syscall.SIGCONT)
				all = append(all, b)
			}
		}
		if code := p.wait(); code != 0 {
			t.Fatalf("ended with %d:\n%s", code, p.output)
		}
		mustBeGone(t, all)
		mustBeReadable(t, run)
		mustBeTidy(t, run, tmp)
		r.mustHaveEvaluated(t, run)
		if got := finalDigest(t, run); got != want {
			t.Fatalf("weights differ from those of the undisturbed run: %s, want %s", got, want)
		}
		if done == before {
			t.Fatal("a whole run went by without a moment to kill it: is it too short, or the objective no process of its own?")
		}
	}
}
