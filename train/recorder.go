package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vittool/vittool/internal/atomicfile"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// recorder writes the run folder, for people and for later processes: run.json, metrics, log,
// pictures, checkpoints.
type recorder struct {
	setup           *setup
	afterCheckpoint func(runDir string, step int) error // draws pictures; may be nil

	unnamed bool // the folder gets the first free name
	folder  *runs.Folder
	info    *runs.Info
	metrics *runs.Metrics
	events  *eventFile
	skipped *os.File

	started      time.Time
	process      epochMeans // of this process
	last         runs.Last  // newest lines; the epoch is the newest whole one
	newest       runs.Checkpoint
	digest       string       // of the newest checkpoint
	skippedFiles atomic.Int64 // counted while coming batches are read
}

// init ties the recorder to a run that starts now.
func (c *recorder) init(s *setup, afterCheckpoint func(string, int) error) {
	c.setup, c.afterCheckpoint, c.started = s, afterCheckpoint, time.Now()
}

// open creates the folder of a new run and opens the files that grow. step is the number of steps
// done.
func (c *recorder) open(step int) (err error) {
	cfg := c.setup.cfg
	if c.folder == nil {
		if c.unnamed { // another run may have taken the name meanwhile
			if cfg.Run.Out, err = runs.ClaimName(cfg.Objective.Name, cfg.Model.Name); err != nil {
				return err
			}
		}
		if c.folder, err = runs.Create(cfg.Run.Out); err != nil {
			return outError(err)
		}
		c.info = runs.NewInfo()
		if err := c.folder.WriteSettings(cfg.YAML()); err != nil {
			return err
		}
	}
	c.describe()
	c.info.Status, c.info.Error, c.info.Step = runs.StatusRunning, "", step
	if err := c.folder.WriteInfo(c.info); err != nil {
		return err
	}
	logFile, err := c.folder.Append(runs.LogFile)
	if err != nil {
		return err
	}
	if err := c.setup.log.open(logFile); err != nil {
		return err
	}
	if err := c.openMetrics(step); err != nil {
		return err
	}
	c.skipped, err = c.folder.Append(runs.SkippedFile)
	return err
}

// openMetrics goes on with metrics.jsonl, and with those for TensorBoard in a file of its own.
func (c *recorder) openMetrics(step int) (err error) {
	if c.metrics, err = runs.OpenMetrics(c.folder.Dir, step); err != nil {
		return err
	}
	if c.last, err = runs.LastLines(c.folder.Dir); err != nil {
		return err
	}
	c.events, err = newEventFile(c.folder.Dir, step+1)
	return err
}

// describe tells run.json of the run and of this process.
func (c *recorder) describe() {
	s := c.setup
	c.info.TotalSteps, c.info.Seed, c.info.Model = s.total, uint64(s.cfg.Run.Seed), s.cfg.Model.Name
	d := s.objective.Description()
	c.info.Objective = runs.ObjectiveInfo{Name: d.Name, Version: d.Version, SHA256: s.objective.SHA256(), Mode: s.cfg.Objective.Mode}
	c.info.Data = runs.DataInfo{Path: s.cfg.Data.Path, Images: s.source.Len(), Fingerprint: s.source.Fingerprint()}
	c.info.Vittool, c.info.Machine = runs.Build(), runs.Machine(s.device.Threads(), s.device.Level())
	c.info.Processes++
}

// oneLine escapes line breaks and tabs in the name of a file.
var oneLine = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// skip lists a file that can't be read. It is called from the feed.
func (c *recorder) skip(_ int, path string, err error) {
	c.skippedFiles.Add(1)
	fmt.Fprintf(c.skipped, "%s\t%s\n", oneLine.Replace(path), oneLine.Replace(err.Error()))
}

// step logs a step that is done, of the given micro-batches, and the epochs that end in it.
func (c *recorder) step(s Step, batches []batchSums, epoch *epochMeans) error {
	c.setup.progress.Step(s)
	c.last.Step = s.StepLine
	if s.Step%c.setup.cfg.Run.LogEvery == 0 || s.Step == c.setup.total {
		if err := c.metrics.Step(s.StepLine); err != nil {
			return err
		}
		scalars := map[string]float64{"train/loss": s.Loss, "train/lr": s.LearningRate, "train/weight_decay": s.WeightDecay,
			"train/grad_norm": s.GradientNorm, "speed/images_per_s": s.ImagesPerS, "speed/data_wait": s.DataWait}
		for name, v := range s.Metrics {
			scalars["train/"+name] = v
		}
		if err := c.scalars(s.Step, scalars); err != nil {
			return err
		}
	}
	read := c.setup.epochs.read(s.Step - 1)
	for _, b := range batches {
		share := 1 / float64(len(batches))
		epoch.add(b, s, share)
		c.process.add(b, s, share)
		if read++; read%c.setup.epochs.batches > 0 {
			continue
		}
		c.last.Epoch = epoch.line(s.Step, read/c.setup.epochs.batches)
		*epoch = epochMeans{}
		if err := c.metrics.Epoch(c.last.Epoch); err != nil {
			return err
		}
		if err := c.scalars(s.Step, map[string]float64{"epoch/loss": c.last.Epoch.Loss}); err != nil {
			return err
		}
	}
	return nil
}

// evaluated logs an evaluation.
func (c *recorder) evaluated(line runs.EvalLine) error {
	c.setup.progress.Evaluated(line)
	c.last.Eval = line
	if err := c.metrics.Eval(line); err != nil {
		return err
	}
	return c.scalars(line.Step, map[string]float64{"eval/knn": line.KNN})
}

func (c *recorder) scalars(step int, values map[string]float64) error {
	if err := c.events.scalars(step, values); err != nil {
		return fmt.Errorf("write TensorBoard file: %w", atomicfile.Explain(err, c.folder.Dir))
	}
	return nil
}

// save writes a checkpoint and tells run.json of it.
func (c *recorder) save(meta runs.Meta, tensors []tensor.Tensor) error {
	checkpoint, digest, err := c.folder.Save(meta, tensors, c.setup.cfg.Run.Keep)
	if checkpoint.Path != "" { // written, even if something after it failed
		c.newest, c.digest, c.info.Step = checkpoint, digest, meta.Step
	}
	if err != nil {
		return err
	}
	return c.folder.WriteInfo(c.info)
}

// draw lets pictures be drawn of the newest checkpoint.
func (c *recorder) draw(step int) {
	if c.afterCheckpoint == nil {
		return
	}
	err := c.afterCheckpoint(c.folder.Dir, step)
	if err != nil && !errors.Is(err, context.Canceled) { // an interrupt was answered when it came
		c.setup.progress.Warning("pictures: " + err.Error())
	}
}

// fail writes the error of a run that never came to its first step to run.json.
func (c *recorder) fail(err error) {
	if c.folder != nil && c.info != nil && c.info.Status == runs.StatusRunning {
		c.info.Status, c.info.Error = runs.StatusFailed, err.Error()
		_ = c.folder.WriteInfo(c.info) // err tells of a folder that can't be written
	}
}

func (c *recorder) close() {
	c.metrics.Close()
	c.events.Close()
	c.skipped.Close()
	c.setup.log.Close()
	c.folder.Close()
}
