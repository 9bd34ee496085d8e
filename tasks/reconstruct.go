package tasks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/launch"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tasks/pictures"
	"github.com/vittool/vittool/tensor"
)

// Run is a checkpoint of a pre-training run, opened to compute the pictures and the exports of its
// objective.
type Run struct {
	Path      string // of the checkpoint
	Step      int    // optimizer steps done
	Config    *configs.Config
	Mean, Std []float64
	model     *Model
	file      *tensor.File
}

// OpenRun reads the newest valid checkpoint of a run folder, or a checkpoint file. report, if not
// nil, is called for each damaged checkpoint that is passed over.
func OpenRun(path string, report func(path string, err error)) (*Run, error) {
	file, err := openWeights(path, report)
	if err != nil {
		return nil, unusable(err)
	}
	r, err := openRun(file)
	return r, unusable(err)
}

func openRun(file *tensor.File) (*Run, error) {
	text := file.Meta[runs.MetaConfig]
	if text == "" {
		return nil, fmt.Errorf("%s: is no checkpoint of a run: it lacks the settings (an exported backbone has no decoder)", file.Path)
	}
	r := &Run{Path: file.Path, file: file}
	var err error
	if r.Config, err = configs.Parse(file.Path, []byte(text)); err != nil {
		return nil, fmt.Errorf("%s: settings: %w", file.Path, err)
	}
	if r.Step, err = strconv.Atoi(file.Meta[runs.MetaStep]); err != nil {
		return nil, fmt.Errorf("%s: step %q is not a number", file.Path, file.Meta[runs.MetaStep])
	}
	m := &Model{}
	if m.Config, err = fileConfig(file, runs.BackbonePrefix, LoadOptions{}); err != nil {
		return nil, err
	}
	m.Info = m.Config.Info()
	if err := m.readInput(file, runs.BackbonePrefix, LoadOptions{}); err != nil {
		return nil, err
	}
	r.model, r.Mean, r.Std = m, m.Mean, m.Std
	return r, nil
}

// ErrNoPicture is wrapped by the error of Reconstruct for an objective that predicts no pixels.
var ErrNoPicture = errors.New("predicts no pixels: its plan has no picture to draw")

// PatchStatistics are those of the program.
type PatchStatistics = program.PatchStatistics

// The statistics of normalized patches.
const (
	VisibleStatistics  = program.VisibleStatistics
	OriginalStatistics = program.OriginalStatistics
)

// ReconstructOptions are the settings of Reconstruct.
type ReconstructOptions struct {
	Images data.Source
	IDs    []int  // samples that are drawn; nil means Count of them, spread evenly
	Count  int    // 0 means 8
	Seed   uint64 // of the masks, which do not depend on the step of the run
	// Statistics undo the normalization of predicted patches; "" means VisibleStatistics.
	Statistics PatchStatistics
	// Mode is the place of the objective's code; "" means the setting of the run.
	Mode      host.Mode
	LogWriter io.Writer // receives the plugin's standard error
	// OnSkip, if set, is called for each unreadable image, which is left out.
	OnSkip func(name string, err error)
}

// Reconstruct masks images as the objective of the run does in training, but without random crops,
// and draws the predictions of the network. It serves every objective whose plan has pictures. Runs
// and steps of one objective have the same images and masks, so their pictures compare.
func (r *Run) Reconstruct(ctx context.Context, dev *device.CPU, o ReconstructOptions) ([]Reconstruction, error) {
	shown, err := r.predict(ctx, dev, o)
	if err != nil {
		return nil, err
	}
	var out []Reconstruction
	for i, p := range shown.pictures {
		drawn, err := r.draw(p, r.normalization(shown.plan, i), shown.names, o.statistics())
		if err != nil {
			return nil, fmt.Errorf("reconstruct: picture %s: %w", p.Name, err)
		}
		out = append(out, *drawn)
	}
	return out, nil
}

func (o *ReconstructOptions) statistics() program.PatchStatistics {
	return cmp.Or(o.Statistics, program.VisibleStatistics)
}

// predictions are the pictures of a plan for some images.
type predictions struct {
	plan     *plan.Plan
	pictures []program.Picture
	names    []string // of the images, empty for an image that is not drawn
}

// predict runs the program of the objective on the images.
func (r *Run) predict(ctx context.Context, dev *device.CPU, o ReconstructOptions) (*predictions, error) {
	ids, err := chosenIDs(o.Images, o.IDs, o.Count)
	if err != nil {
		return nil, fmt.Errorf("reconstruct: %w", err)
	}
	if o.Images.Channels() != r.model.Info.Channels {
		return nil, fmt.Errorf("reconstruct: %s reads images of %d channels, the data is opened with %d", r.model.Info.Name, r.model.Info.Channels, o.Images.Channels())
	}
	objective, err := r.open(ctx, o, len(ids), o.Images.Len())
	if err != nil {
		return nil, err
	}
	defer objective.Close()
	plan := objective.Plan()
	if len(plan.Results.Pictures) == 0 {
		return nil, fmt.Errorf("objective %s %w", r.Config.Objective.Name, ErrNoPicture)
	}
	if err := plan.CheckFiles(r.file.Meta[runs.MetaFiles]); err != nil {
		return nil, &configs.Error{Key: configs.OptionsKey, Problem: err.Error(), Hint: "restore the file that the run was started with"}
	}
	store := param.NewStore()
	runner, err := program.Build(dev, store, plan, r.model.Config, len(ids), uint64(r.Config.Run.Seed), program.Options{
		Plugin: r.Config.Objective.Name, TotalSteps: uint64(max(r.Step, 1)), Evaluator: noEvaluation{},
		Context: ctx, Deadline: launch.Program(r.Config.Objective).CallDeadline,
	})
	if err != nil {
		return nil, err
	}
	for _, p := range plan.Results.Pictures {
		shape := runner.ViewShape(p.View)
		if err := checkGridSize(pictures.Grid{Columns: maskedColumns}, len(ids), shape[2], shape[3]); err != nil {
			return nil, err
		}
	}
	if err := param.LoadInto(store, r.file, nil, false); err != nil {
		return nil, unusable(err)
	}
	inputs, names, err := r.inputs(ctx, objective, runner, o, ids)
	if err != nil {
		return nil, err
	}
	if err := runner.Step(inputs); err != nil {
		return nil, fmt.Errorf("reconstruct: %w", err)
	}
	return &predictions{plan, runner.Pictures(o.statistics()), names}, nil
}

// noEvaluation replaces computations in the process of the objective: pictures come from the
// program alone.
type noEvaluation struct{}

func (noEvaluation) Evaluate(*program.Evaluation) (float64, error) { return 0, nil }

// open starts the objective with the settings it was trained with.
func (r *Run) open(ctx context.Context, o ReconstructOptions, batch, images int) (*host.Objective, error) {
	return launch.Open(ctx, launch.Request{
		Config: r.Config, Network: r.model.Config, Batch: batch, TotalSteps: max(r.Step, 1), StepsPerEpoch: 1, Images: images,
		Mode: o.Mode, LogWriter: o.LogWriter,
	})
}

// wholeFitting shows the largest centered part of an image that has the aspect of the view.
var wholeFitting = data.Fitting{Crop: data.CropCenter, CropPct: 1, Interpolation: pixels.Bicubic}

// inputs reads the images and asks the objective for its masks. It returns the names of the images,
// empty where the loader replaced an unreadable one.
func (r *Run) inputs(ctx context.Context, objective *host.Objective, runner *program.Runner, o ReconstructOptions, ids []int) (in program.Inputs, names []string, err error) {
	var specs []data.ViewSpec
	for _, v := range objective.Plan().Views {
		shape := runner.ViewShape(v.Name)
		mean, std := viewNormalization(v, r.Mean, r.Std)
		specs = append(specs, data.EvalView(v.Name, shape[2], shape[3], wholeFitting, float32s(mean), float32s(std)))
	}
	source := data.Subset(o.Images, ids)
	loader, err := data.NewLoader(source, data.LoaderOptions{Views: specs, BatchSize: len(ids), Epochs: 1, OnError: data.Skip, MaxFailed: 1, OnSkip: skipReporter(o.OnSkip)})
	if err != nil {
		return in, nil, err
	}
	defer loader.Close()
	batch, err := loader.Next(ctx)
	if err != nil {
		return in, nil, err
	}
	in = program.Inputs{Step: uint64(r.Step), IDs: make([]uint64, len(ids)), Labels: slices.Clone(batch.Labels)}
	names = make([]string, len(ids))
	for i, place := range batch.IDs {
		in.IDs[i] = uint64(ids[place])
		if int(place) == i {
			names[i] = source.Name(i)
		}
	}
	request := &plan.MaskRequest{Seed: o.Seed, SampleIDs: in.IDs} // of step 0, so that pictures compare
	for i, spec := range specs {
		copy(runner.View(spec.Name), batch.Views[i])
		var boxes []plan.Box
		for _, b := range batch.Geometry[i] {
			boxes = append(boxes, plan.Box(b))
		}
		in.Boxes = append(in.Boxes, boxes)
		request.Geometry = append(request.Geometry, plan.ViewGeometry{View: spec.Name, Boxes: boxes})
	}
	if len(runner.Plan.Masks) > 0 {
		in.Masks, err = objective.Mask(ctx, request)
	}
	return in, names, err
}

func viewNormalization(v *plan.View, mean, std []float64) ([]float64, []float64) {
	if len(v.Mean) > 0 {
		mean = v.Mean
	}
	if len(v.Std) > 0 {
		std = v.Std
	}
	return mean, std
}

// normalization is the one of the view in picture i of the plan, under its source.
func (r *Run) normalization(p *plan.Plan, i int) Normalization {
	n := Normalization{r.model.Input.Normalization, r.Mean, r.Std}
	for _, v := range p.Views {
		if v.Name == p.Results.Pictures[i].View && len(v.Mean)+len(v.Std) > 0 {
			n.Name = "of the objective's view " + v.Name
			n.Mean, n.Std = viewNormalization(v, r.Mean, r.Std)
		}
	}
	return n
}
