package ui

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/train"
)

var testPlan = train.Overview{
	RunDir: "runs/x", Objective: "some", Model: "vit_micro_patch4_32", Parameters: 1_320_000,
	Images: 2000, BatchSize: 50, StepsPerEpoch: 40, TotalSteps: 100, StepFLOPs: 1.09e10, StepBytes: 1.5e9, ImageBytes: 2e8,
}

// play shows a run of 100 steps of one second each.
func play(p train.Progress, clock *time.Time) {
	p.Start(testPlan)
	for step := 1; step <= testPlan.TotalSteps; step++ {
		*clock = clock.Add(time.Second)
		p.Step(train.Step{StepLine: runs.StepLine{Step: step, Epoch: float64(step) / 40, Loss: 1 / float64(step), LearningRate: 1e-3, ImagesPerS: 50}})
	}
	p.Event("checkpoint written")
	p.Done(&train.Result{RunDir: "runs/x", Step: 100, TotalSteps: 100, FinalLoss: runs.FinalLoss{Loss: 0.01, LossOf: "epoch 2", LastLoss: 0.009}, Checkpoint: "c", Elapsed: 100 * time.Second, ImagesPerS: 50, Skipped: 2})
}

func TestLines(t *testing.T) {
	cases := []struct {
		level Level
		steps int // lines of steps: the first, one every five seconds, the last
		want  []string
	}{
		{Quiet, 0, nil},
		{Normal, 21, []string{"run        runs/x", "1.32 M parameters", "10.9 GFLOP a step, 1.09 TFLOP in all", "1.5 GB for activations", "up to 200 MB for images", "0.0090 in the last step, 0.0100 in the mean of epoch 2", "step 1/100", "1m39s left", "step 100/100", "checkpoint written", "1m40s", "2 images that can't be read"}},
		{Verbose, 100, []string{"step 42/100"}},
	}
	for _, c := range cases {
		var b bytes.Buffer
		clock := time.Unix(1e9, 0)
		p := NewProgress(&b, false, c.level).(*lines)
		p.now = func() time.Time { return clock }
		play(p, &clock)
		if n := strings.Count(b.String(), "\nstep "); n != c.steps {
			t.Errorf("level %d: %d lines of steps, want %d:\n%s", c.level, n, c.steps, b.String())
		}
		for _, w := range c.want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("level %d: no %q in\n%s", c.level, w, b.String())
			}
		}
		if c.level == Quiet && b.Len() > 0 {
			t.Errorf("quiet prints %q", b.String())
		}
	}
}

// TestHead: sizes of one have no plural, and a step takes no more images than there are.
func TestHead(t *testing.T) {
	for _, c := range []struct {
		images, batch, steps int
		perEpoch             float64
		want                 []string
	}{
		{28, 40, 1, 1, []string{"28 images, 28 a step\n", "1 step, 1 an epoch\n"}},
		{28, 64, 4, 0.5, []string{"28 images, 56 a step\n", "4 steps, 0.5 an epoch\n"}},
		{1, 1, 2, 1, []string{"1 image, 1 a step\n", "2 steps"}},
		{40, 16, 5, 2.5, []string{"40 images, 16 a step\n"}},
		{20, 16, 4, 2, []string{"20 images, 16 a step\n"}},
	} {
		var b bytes.Buffer
		NewProgress(&b, false, Normal).Start(train.Overview{Images: c.images, BatchSize: c.batch, TotalSteps: c.steps, StepsPerEpoch: c.perEpoch})
		for _, w := range c.want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%+v: no %q in\n%s", c, w, b.String())
			}
		}
	}
}

func TestBar(t *testing.T) {
	var b bytes.Buffer
	clock := time.Unix(1e9, 0)
	p := NewProgress(&b, true, Normal)
	p.Event("before the start")
	play(p, &clock)
	for _, w := range []string{"before the start", "runs/x", "images/s", "checkpoint written", "done"} {
		if !strings.Contains(b.String(), w) {
			t.Errorf("no %q in %q", w, b.String())
		}
	}
}

// TestGaugeFits: every drawing is shorter than the terminal is wide and tells as much as it has space
// for.
func TestGaugeFits(t *testing.T) {
	for columns, want := range map[int]string{
		200: "loss 0.4123  epoch 12.3  1234 images/s", 100: "loss 0.4123", 70: "2000/20000", 40: "step", 8: "step", 1: "", 0: "",
	} {
		var b bytes.Buffer
		g := newGaugeOf(&b, "step", 1000, 20000, func() int { return columns })
		for range 2 { // the details of a drawing are those of the one before
			time.Sleep(110 * time.Millisecond) // a drawing is at least that long after the one before
			g.set(2000, "loss 0.4123", "epoch 12.3", "1234 images/s")
		}
		g.clear()
		for line := range strings.SplitSeq(b.String(), "\r") {
			if n := len([]rune(line)); n >= max(columns, 1) {
				t.Errorf("%d columns: %d characters: %q", columns, n, line)
			}
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("%d columns: no %q in %q", columns, want, b.String())
		}
	}
}

func TestRate(t *testing.T) {
	for x, want := range map[float64]string{1234.5: "1234 images/s", 12.3: "12 images/s", 9.96: "10 images/s", 3.14: "3.1 images/s", 0.456: "0.46 images/s", 0.0042: "0.0042 images/s"} {
		if got := Rate(x); got != want {
			t.Errorf("%g is written %q, want %q", x, got, want)
		}
	}
}

// TestPictures: the end of a run names its newest pictures.
func TestPictures(t *testing.T) {
	dir := t.TempDir()
	must.Do(t, os.Mkdir(filepath.Join(dir, runs.PicturesDir), 0o755))
	for _, name := range []string{"loss.png", "reconstruction-00000010.png", "reconstruction-00000200.png", "tokens-00000200.png"} {
		must.Do(t, os.WriteFile(filepath.Join(dir, runs.PicturesDir, name), nil, 0o600))
	}
	var b bytes.Buffer
	NewProgress(&b, false, Normal).Done(&train.Result{RunDir: dir, Step: 200, TotalSteps: 200})
	text := b.String()
	var last int
	for _, name := range []string{"reconstruction-00000200.png", "tokens-00000200.png", "loss.png"} {
		at := strings.Index(text, filepath.Join(dir, runs.PicturesDir, name))
		if at <= last {
			t.Errorf("%s is missing or out of order:\n%s", name, text)
		}
		last = at
	}
	if strings.Contains(text, "00000010") {
		t.Errorf("old pictures are named:\n%s", text)
	}
}

func TestInterruptedRunSaysHowToGoOn(t *testing.T) {
	var b bytes.Buffer
	NewProgress(&b, false, Normal).Done(&train.Result{RunDir: "runs/x", Step: 7, TotalSteps: 9, Interrupted: true})
	if !strings.Contains(b.String(), "after step 7 of 9; go on with --resume --out runs/x") {
		t.Errorf("it says %q", b.String())
	}
}

func TestFailedRunIsNotDone(t *testing.T) {
	var b bytes.Buffer
	NewProgress(&b, false, Normal).Done(&train.Result{RunDir: "runs/x", Step: 7, TotalSteps: 9, Failed: true})
	if !strings.Contains(b.String(), "failed after step 7 of 9") || strings.Contains(b.String(), "done") {
		t.Errorf("it says %q", b.String())
	}
}

// Warnings are shown at every level and stand in the log.
func TestWarnings(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		for _, level := range []Level{Quiet, Normal, Verbose} {
			var b bytes.Buffer
			log := WithLog(NewProgress(&b, terminal, level))
			log.Warning("early and bad")
			plan := testPlan
			plan.RunDir = t.TempDir()
			log.Start(plan)
			log.Close(nil)
			if !strings.Contains(b.String(), "warning: early and bad") {
				t.Errorf("level %d shows %q", level, b.String())
			}
			if content, err := os.ReadFile(filepath.Join(plan.RunDir, runs.LogFile)); err != nil || !bytes.Contains(content, []byte("early and bad")) {
				t.Errorf("log %q, %v", content, err)
			}
		}
	}
}

func TestLog(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	log := WithLog(NewProgress(&b, false, Quiet))
	log.Event("early")
	plan := testPlan
	plan.RunDir = dir
	log.Start(plan)
	log.Event("late")
	log.Done(&train.Result{Digest: "abc"})
	log.Close(os.ErrClosed)
	content := must.Get(os.ReadFile(filepath.Join(dir, runs.LogFile)))(t)
	for _, w := range []string{"early", "late", "digest=abc", "file already closed"} {
		if !bytes.Contains(content, []byte(w)) {
			t.Errorf("the log lacks %q:\n%s", w, content)
		}
	}
}

func TestLogWithoutFolder(t *testing.T) {
	var b bytes.Buffer
	log := WithLog(NewProgress(&b, false, Normal))
	plan := testPlan
	plan.RunDir = filepath.Join(t.TempDir(), "nowhere")
	log.Start(plan)
	log.Event("late")
	log.Close(nil)
	if !strings.Contains(b.String(), "no log is kept") || !strings.Contains(b.String(), "late") {
		t.Errorf("it says %q", b.String())
	}
}

func TestTable(t *testing.T) {
	table := NewTable("NAME", "SIZE")
	table.Row("é", "one", "more")
	table.Row("longer name", "", "x")
	var b bytes.Buffer
	must.Do(t, table.Write(&b))
	want := "NAME         SIZE\né            one   more\nlonger name        x\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestCount(t *testing.T) {
	for _, c := range []struct {
		x    float64
		unit string
		want string
	}{{0, "", "0"}, {12, "FLOP", "12 FLOP"}, {999.4, "", "999"}, {999.6, "", "1 k"}, {5.72e6, "", "5.72 M"}, {3e19, "FLOP", "30 EFLOP"}} {
		if got := Count(c.x, c.unit); got != c.want {
			t.Errorf("Count(%g, %q) = %q, want %q", c.x, c.unit, got, c.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		7300 * time.Millisecond:        "7.3s",
		59*time.Second + 999999999:     "60.0s",
		4*time.Minute + 5*time.Second:  "4m05s",
		3*time.Hour + 12*time.Minute:   "3h12m",
		59*time.Minute + 59*1000000000: "59m59s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}
