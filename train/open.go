package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/schema"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// run is everything the loop works with. Its state between two steps is the
// store, the optimizer and the number of steps done; all else is derived.
type run struct {
	cfg      *configs.Config
	opts     Options
	progress Progress

	unnamed bool // the folder gets the first free name
	folder  *Folder
	info    *Info
	ended   string               // how run.json says that an earlier process ended
	moved   []configs.Difference // options of a resumed run that may be other paths of the same files
	logFile *lockedWriter
	skipped *os.File
	metrics *metrics
	events  *eventFile

	engine    *device.CPU
	room      string // what sets the bound of memory
	source    data.Source
	loader    *data.Loader
	objective *host.Objective
	feed      *feed

	network   vit.Config
	store     *param.Store
	models    map[int]*program.Model // by batch size: the last batch of an epoch may be smaller
	current   *program.Model         // of the pass in progress
	evaluator *evaluator             // nil unless the plan leaves something to the plugin
	targets   *targetCache
	optimizer optim.Optimizer
	rate      optim.Schedule // learning rate
	decay     optim.Schedule // weight decay
	gradients *gradients

	step, total    int // optimizer steps done, and of the whole run
	stepsPerEpoch  int
	lastCheckpoint Checkpoint
	digest         string
	skippedFiles   atomic.Int64 // counted while coming batches are read

	started     time.Time
	epoch, all  epochMeans // of the current epoch and of this process
	lastEpoch   epochLine
	images      int // of the step in progress
	passMetrics map[string]float64
	state       map[*param.Parameter][]float32 // buffers before a step of several passes
	midstep     bool                           // some of its passes have changed them since
}

// open prepares a run: it checks everything that can be checked before the
// first step, then creates or locks the folder and loads the newest checkpoint.
// A new run folder is made last, so that a mistake leaves none behind.
func open(ctx context.Context, cfg *configs.Config, opts Options) (_ *run, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, opts: opts, progress: opts.Progress, started: time.Now(), models: map[int]*program.Model{}, store: param.NewStore()}
	if r.progress == nil {
		r.progress = silent{}
	}
	defer func() {
		if err != nil {
			if r.folder != nil && r.info != nil && r.info.Status == StatusRunning {
				r.info.Status, r.info.Error = StatusFailed, err.Error()
				_ = r.folder.writeInfo(r.info) // a folder that can't be written is what err says
			}
			r.close()
		}
	}()
	if r.unnamed = cfg.Run.Out == ""; r.unnamed {
		if opts.Resume {
			return nil, &configs.Error{Key: "run.out", Problem: "which run is to be resumed?", Hint: "give its folder with --out"}
		}
		copied := *cfg
		copied.Run.Out = freeFolder(cfg.Objective.Name, cfg.Model.Name)
		cfg, r.cfg = &copied, &copied
	}
	var checkpoint *tensor.File
	if opts.Resume {
		if checkpoint, err = r.reopen(); err != nil {
			return nil, err
		}
	} else if err := checkNewFolder(cfg.Run.Out); err != nil {
		return nil, err
	}
	if r.engine, err = device.NewCPU(cfg.Run.Threads); err != nil {
		return nil, &configs.Error{Source: "environment", Problem: err.Error()}
	}
	if err := r.openData(); err != nil {
		return nil, err
	}
	if r.network, err = cfg.Backbone(); err != nil {
		return nil, err
	}
	if err := r.openObjective(ctx); err != nil {
		return nil, err
	}
	if err := r.checkMoved(); err != nil {
		return nil, err
	}
	if checkpoint != nil {
		if err := r.checkFiles(checkpoint); err != nil {
			return nil, err
		}
	}
	if err := r.build(ctx); err != nil {
		return nil, err
	}
	if checkpoint != nil {
		if err := r.restore(checkpoint); err != nil {
			return nil, err
		}
		if r.step >= r.total {
			return r, nil // nothing is left to train
		}
	}
	if err := r.openFolder(); err != nil {
		return nil, err
	}
	if err := r.openLoader(ctx); err != nil {
		return nil, err
	}
	r.announce()
	if checkpoint == nil { // a run that is killed early has something to go on from
		if err := r.checkpoint(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// reopen locks the folder of a run and reads its newest whole checkpoint.
func (r *run) reopen() (*tensor.File, error) {
	settings, err := unbegun(r.cfg.Run.Out)
	if err != nil {
		return nil, err
	}
	if settings != "" { // the folder is made as that of a new run
		r.progress.Warning(fmt.Sprintf("the run in %s was stopped before its first step: it starts from the beginning", r.cfg.Run.Out))
		return nil, r.checkSettings(settings)
	}
	if r.folder, err = openFolder(r.cfg.Run.Out); err != nil {
		return nil, err
	}
	var damaged *json.SyntaxError
	r.info, err = ReadInfo(r.folder.Dir)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		err = fmt.Errorf("%s has checkpoints and no %s", r.folder.Dir, InfoFile)
	}
	if missing || errors.As(err, &damaged) {
		r.progress.Warning(fmt.Sprintf("%v; it is written anew", err))
		r.info = &Info{Format: 1, Started: time.Now().UTC().Truncate(time.Second)}
	} else if err != nil {
		return nil, err
	}
	r.ended, r.info.Status = r.info.Status, "" // not this process's to change until it runs
	file, step, err := LatestCheckpoint(r.folder.Dir, func(path string, err error) {
		r.progress.Warning(fmt.Sprintf("passed over a damaged checkpoint: %v", err))
	})
	if err != nil {
		return nil, err
	}
	if file == nil { // killed before the first one, or removed: start over in the same folder
		r.progress.Warning(fmt.Sprintf("%s has no checkpoint, though run.json tells of step %d: the run starts from the beginning", r.folder.Dir, r.info.Step))
		return nil, r.checkSettings(r.folder.path(ConfigFile))
	}
	r.step = step
	return file, r.checkSameRun(file.Path, []byte(file.Meta[MetaConfig]))
}

// checkSettings refuses settings that are not those of the file of a run.
func (r *run) checkSettings(path string) error {
	settings, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("settings of the run: %w", err)
	}
	return r.checkSameRun(path, settings)
}

// checkSameRun refuses to go on with settings that would give another result. Options that
// may be another path of the same file wait for checkMoved.
func (r *run) checkSameRun(path string, settings []byte) error {
	old, err := configs.Parse(path, settings)
	if err != nil {
		return fmt.Errorf("settings that the run was started with: %w", err)
	}
	var list configs.Errors
	r.moved = nil
	for _, d := range r.cfg.ResumeDifferences(old) {
		if d.MaybeFile {
			r.moved = append(r.moved, d)
		} else {
			list = append(list, otherSetting(d))
		}
	}
	if len(list) > 0 {
		return list
	}
	return nil
}

func otherSetting(d configs.Difference) *configs.Error {
	return &configs.Error{Key: d.Key, Value: d.New, Problem: "the run to be resumed was started with " + d.Old,
		Hint: "leave the setting out, or start a new run with another --out"}
}

// checkMoved refuses the options that differ from those of the run to be resumed and name no
// file that the plan reads. That the files are the same ones is seen by their digests.
func (r *run) checkMoved() error {
	var list configs.Errors
	for _, d := range r.moved {
		if !slices.Contains(program.Files(r.objective.Plan()), d.New) {
			list = append(list, otherSetting(d))
		}
	}
	if len(list) > 0 {
		return list
	}
	return nil
}

func (r *run) openData() (err error) {
	d := r.cfg.Data
	r.source, err = data.Open(data.Options{Path: d.Path, Channels: d.Channels, MaxPixels: int64(d.MaxPixels), Note: r.progress.Event})
	if err != nil {
		return err
	}
	n, batch := r.source.Len(), r.cfg.Train.BatchSize
	if n == 0 || (r.cfg.Train.DropLast && batch > n) {
		return &data.Error{Path: d.Path, Problem: fmt.Sprintf("a batch of %d is larger than the data set of %d images", batch, n),
			Hint: "make train.batch_size smaller, or set train.drop_last=false"}
	}
	passes := data.StepsPerEpoch(n, batch, r.cfg.Train.DropLast)
	r.stepsPerEpoch = passes / r.cfg.Train.Accumulate
	if r.stepsPerEpoch == 0 {
		return &configs.Error{Key: "train.accumulate", Value: strconv.Itoa(r.cfg.Train.Accumulate),
			Problem: fmt.Sprintf("an epoch has only %d batches of %d", passes, batch), Hint: "make train.accumulate or train.batch_size smaller"}
	}
	r.total = r.cfg.Train.Steps
	if r.total == 0 {
		r.total = r.cfg.Train.Epochs * passes / r.cfg.Train.Accumulate
	}
	// A few steps of a recipe are a trial of it, not a mistake.
	if t := r.cfg.Train; t.WarmupEpochs*float64(r.stepsPerEpoch) > float64(r.total) {
		r.progress.Warning(fmt.Sprintf("the learning rate does not reach its peak: train.warmup_epochs = %g are longer than the run of %d steps, an epoch has %d",
			t.WarmupEpochs, r.total, r.stepsPerEpoch))
	}
	return nil
}

func (r *run) openObjective(ctx context.Context) (err error) {
	o := r.cfg.Objective
	mean, std := r.cfg.Data.Normalization()
	r.logFile = &lockedWriter{}
	options := host.Options{
		Mode: host.Mode(o.Mode), Config: o.Options, Seed: uint64(r.cfg.Run.Seed), Batch: r.cfg.Train.BatchSize,
		TotalSteps: r.total, StepsPerEpoch: r.stepsPerEpoch, DatasetSize: r.source.Len(),
		Backbone: program.BackboneInfo(r.network, mean, std), FixedViews: r.cfg.Data.FixedViews(), LogWriter: r.logFile,
		StartDeadline: seconds(o.Deadline), CallDeadline: seconds(o.Deadline),
	}
	if o.Plugin != "" {
		options.Path, options.Lock = o.Plugin, host.LockFile
	} else {
		options.Name = o.Name
	}
	r.objective, err = host.Open(ctx, options)
	var option *schema.Error
	if errors.As(err, &option) {
		return &configs.Error{Key: configs.OptionsKey + "." + option.Key, Problem: option.Text,
			Hint: "see vittool plugin info " + o.Name}
	}
	return err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// build makes parameters, the graph for a full batch and the optimizer.
func (r *run) build(ctx context.Context) error {
	plan := r.objective.Plan()
	r.targets = newTargetCache(r.cfg.Data.TargetCache, r.source.Len(), r.progress.Warning)
	if needsBinding(plan) {
		r.evaluator = &evaluator{ctx: ctx, objective: r.objective, store: r.store, seed: uint64(r.cfg.Run.Seed)}
	}
	r.bounded()
	model, err := r.model(r.cfg.Train.BatchSize)
	if e := r.fits(err == nil); e != nil {
		return e
	}
	if err != nil {
		return err
	}
	if r.evaluator != nil {
		if err := r.evaluator.bind(ctx, plan, r.network, r.cfg.Train.BatchSize, model.EvaluateInputs()); err != nil {
			return err
		}
	}
	r.network = model.Student.Config // with what the plan requires of it
	r.gradients = newGradients(r.engine, r.cfg.Train.Accumulate)
	t := r.cfg.Train
	switch t.Optimizer {
	case "adamw":
		r.optimizer = optim.NewAdamW(r.engine, optim.AdamWOptions{Beta1: t.Beta1, Beta2: t.Beta2, Eps: t.Eps})
	case "sgd":
		r.optimizer = optim.NewSGD(r.engine, optim.SGDOptions{Momentum: t.Momentum})
	case "lars":
		r.optimizer = optim.NewLARS(r.engine, optim.LARSOptions{
			Momentum: t.Momentum, Trust: t.LARS.Trust, Eps: t.LARS.Eps, RawRatio: t.LARS.Ratio == "raw",
			StepMomentum: t.LARS.Accumulate == "step", All: t.LARS.All, Nesterov: t.LARS.Nesterov, ClipLR: t.LARS.Clip,
		})
	default:
		return &configs.Error{Key: "train.optimizer", Value: t.Optimizer, Problem: "unknown optimizer", Hint: "use adamw, sgd or lars"}
	}
	r.rate, r.decay = schedules(t, r.total, r.stepsPerEpoch)
	return nil
}

// model returns the graph for a batch of the given size, compiled at first use
// over the one store.
func (r *run) model(batch int) (*program.Model, error) {
	if m := r.models[batch]; m != nil {
		r.current = m
		return m, nil
	}
	options := program.Options{Plugin: r.cfg.Objective.Name, Train: true, Recompute: r.cfg.Train.Recompute == "blocks", TotalSteps: uint64(r.total)}
	if r.evaluator != nil {
		options.Evaluator = r.evaluator
	}
	m, err := program.Build(r.engine, r.store, r.objective.Plan(), r.network, batch, uint64(r.cfg.Run.Seed), options)
	if err != nil {
		return nil, err
	}
	r.models[batch], r.current = m, m
	return m, nil
}

// restore takes parameters, buffers and optimizer state from a checkpoint.
func (r *run) restore(file *tensor.File) error {
	if err := param.LoadInto(r.store, file, nil, false); err != nil {
		return err
	}
	if err := r.optimizer.Load(file, r.store.Parameters()); err != nil {
		return err
	}
	var stored DataInfo
	if err := json.Unmarshal([]byte(file.Meta[MetaData]), &stored); err != nil {
		return fmt.Errorf("%s: metadata %q: %w", file.Path, MetaData, err)
	}
	if now := r.source.Fingerprint(); stored.Fingerprint != now {
		return otherImages(r.cfg.Data.Path, r.source.Len(), stored.Images)
	}
	var objective ObjectiveInfo
	if err := json.Unmarshal([]byte(file.Meta[MetaObjective]), &objective); err != nil {
		return fmt.Errorf("%s: metadata %q: %w", file.Path, MetaObjective, err)
	}
	if sum := r.objective.SHA256(); objective.SHA256 != sum {
		r.progress.Warning(fmt.Sprintf("the plugin %s is not the program the run was started with (SHA-256 %.12s…, then %.12s…); the rest of the run may differ",
			objective.Name, sum, objective.SHA256))
	}
	if level := file.Meta[MetaKernels]; level != r.engine.Level() {
		r.progress.Warning(fmt.Sprintf("the run was computed with %s kernels so far and goes on with %s; bits will differ from an undisturbed run", level, r.engine.Level()))
	}
	if err := r.epoch.load(file); err != nil {
		return err
	}
	r.lastCheckpoint = Checkpoint{Path: file.Path, Step: r.step}
	r.digest = tensor.Digest(file.Tensors)
	return nil
}

// otherImages refuses to go on with images that would give another result. Also
// a file that was repaired is another one: it would no longer be skipped.
func otherImages(path string, now, then int) error {
	difference := fmt.Sprintf("%d now, %d then", now, then)
	if now == then {
		difference = fmt.Sprintf("%d as then, but the name, size or class of some file differs: it was replaced, repaired, renamed or moved", now)
	}
	return &data.Error{Path: path, Problem: "the images are not those the run was started with (" + difference + ")",
		Hint: "bring back the files as they were (with a larger data.max_failed, those that can't be read are skipped), or start a new run with another --out"}
}

// checkFiles refuses files of the objective's that are not those the run was started with.
func (r *run) checkFiles(checkpoint *tensor.File) error {
	if err := program.CheckFiles(r.objective.Plan(), checkpoint.Meta[MetaFiles]); err != nil {
		return &configs.Error{Key: configs.OptionsKey, Problem: err.Error(), Hint: "restore the file, or start a new run with another --out"}
	}
	return nil
}

// openFolder creates the folder of a new run and opens what is appended to.
func (r *run) openFolder() (err error) {
	if r.folder == nil {
		if r.unnamed { // another run may have taken the name meanwhile
			if r.cfg.Run.Out, err = claimFolder(r.cfg.Objective.Name, r.cfg.Model.Name); err != nil {
				return err
			}
		}
		if r.folder, err = createFolder(r.cfg.Run.Out); err != nil {
			return err
		}
		r.info = &Info{Format: 1, Started: time.Now().UTC().Truncate(time.Second)}
		if err := writeFile(r.folder.path(ConfigFile), r.cfg.YAML()); err != nil {
			return err
		}
	}
	r.describe()
	r.info.Status, r.info.Error, r.info.Step = StatusRunning, "", r.step
	if err := r.folder.writeInfo(r.info); err != nil {
		return err
	}
	if err := r.logFile.open(r.folder.path(LogFile)); err != nil {
		return err
	}
	if r.metrics, err = openMetrics(r.folder.Dir, r.step); err != nil {
		return err
	}
	if r.events, err = newEventFile(r.folder.Dir, r.step); err != nil {
		return err
	}
	r.skipped, err = os.OpenFile(r.folder.path(SkippedFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return err
}

// describe tells run.json of the run and of this process.
func (r *run) describe() {
	r.info.TotalSteps, r.info.Seed, r.info.Model = r.total, uint64(r.cfg.Run.Seed), r.cfg.Model.Name
	d := r.objective.Description()
	r.info.Objective = ObjectiveInfo{Name: d.Name, Version: d.Version, SHA256: r.objective.SHA256(), Mode: r.cfg.Objective.Mode}
	r.info.Data = DataInfo{Path: r.cfg.Data.Path, Images: r.source.Len(), Fingerprint: r.source.Fingerprint()}
	r.info.Vittool, r.info.Machine = Build(), machine(r.engine)
	r.info.Processes++
}

// openLoader starts reading images at the run's position.
func (r *run) openLoader(ctx context.Context) error {
	views, err := viewSpecs(r.objective.Plan(), r.cfg, r.network)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", r.cfg.Objective.Name, err)
	}
	d := r.cfg.Data
	workers := d.Workers
	if workers == 0 {
		workers = r.engine.Threads()
	}
	r.loader, err = data.NewLoader(r.source, data.LoaderOptions{
		Views: views, BatchSize: r.cfg.Train.BatchSize, Seed: uint64(r.cfg.Run.Seed), Shuffle: true, DropLast: r.cfg.Train.DropLast,
		Start: r.step * r.cfg.Train.Accumulate, Workers: workers, OnError: data.OnError(d.OnError), MaxFailed: d.MaxFailed,
		CacheBytes: int64(d.Cache) << 20, OnSkip: r.skip,
	})
	if err != nil {
		return err
	}
	r.feed = newFeed(ctx, r.loader, r.objective, uint64(r.cfg.Run.Seed))
	return nil
}

// oneLine keeps a file to its line and field, whatever its name.
var oneLine = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// skip lists a file that can't be read. It is called from the feed.
func (r *run) skip(_ int, path string, err error) {
	r.skippedFiles.Add(1)
	fmt.Fprintf(r.skipped, "%s\t%s\n", oneLine.Replace(path), oneLine.Replace(err.Error()))
}

func (r *run) announce() {
	var parameters int64
	for _, p := range r.store.Parameters() {
		parameters += int64(p.Size())
	}
	r.progress.Start(Plan{
		RunDir: r.folder.Dir, Objective: r.cfg.Objective.Name, Model: r.cfg.Model.Name, Parameters: parameters, Images: r.source.Len(),
		BatchSize: r.cfg.Train.BatchSize * r.cfg.Train.Accumulate, StepsPerEpoch: r.stepsPerEpoch, FirstStep: r.step, TotalSteps: r.total,
		StepBytes: int64(r.current.Exec().Bytes()),
		StepFLOPs: r.current.Exec().FLOPs() * float64(r.cfg.Train.Accumulate),
	})
}

// metadata of a checkpoint. It holds nothing that differs between two runs with
// equal results: no times, no threads, no path of the run.
func (r *run) metadata() (map[string]string, error) {
	mean, std := r.cfg.Data.Normalization()
	objective := r.info.Objective
	objective.Mode = ""
	source := r.info.Data
	source.Path = ""
	meta := map[string]string{
		MetaFormat: CheckpointFormat, MetaStep: strconv.Itoa(r.step), MetaConfig: string(r.cfg.Result().YAML()), MetaKernels: r.engine.Level(),
	}
	if digests := program.FileDigests(r.objective.Plan()); digests != "" {
		meta[MetaFiles] = digests
	}
	values := map[string]any{MetaModel: r.network, MetaObjective: objective, MetaData: source, MetaMean: mean, MetaStd: std}
	if f := r.objective.Plan().GetRecommended(); f != nil {
		values[MetaFeatures] = featuresOf(f)
	}
	for key, v := range values {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("checkpoint metadata %q: %w", key, err)
		}
		meta[key] = string(bytes.TrimSpace(b))
	}
	return meta, nil
}

func featuresOf(r *pb.Recommended) Features {
	f := Features{Network: "student", Pool: "mean", LinearBlocks: int(r.GetLinearBlocks())}
	if r.GetNetwork() == pb.Network_NETWORK_TEACHER {
		f.Network = "teacher"
	}
	switch {
	case len(r.GetFeatures()) == 2:
		f.Pool = "both"
	case slices.Contains(r.GetFeatures(), pb.Output_OUTPUT_CLASS):
		f.Pool = "class"
	}
	return f
}

// close releases what open acquired, in the opposite order.
func (r *run) close() {
	if r.feed != nil {
		r.feed.close()
	}
	if r.loader != nil {
		r.loader.Close()
	}
	if r.objective != nil {
		r.objective.Close()
	}
	if r.source != nil {
		r.source.Close()
	}
	if r.engine != nil {
		r.engine.Close()
	}
	for _, c := range []io.Closer{r.metrics, r.events, r.skipped, r.logFile, r.folder} {
		if !isNil(c) {
			c.Close()
		}
	}
}

// isNil reports whether a closer is a nil pointer: what open did not reach.
func isNil(c io.Closer) bool {
	switch c := c.(type) {
	case *metrics:
		return c == nil
	case *eventFile:
		return c == nil
	case *os.File:
		return c == nil
	case *lockedWriter:
		return c == nil
	case *Folder:
		return c == nil
	}
	return c == nil
}
