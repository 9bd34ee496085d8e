package tasks

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"path/filepath"
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

// Run is a checkpoint of a pre-training run with what is needed to go through
// its objective again: to show it, not to train on.
type Run struct {
	Path      string // of the checkpoint
	Step      int    // optimizer steps done
	Config    *configs.Config
	Mean, Std []float64
	model     *Model
	file      *tensor.File
}

// OpenRun reads the newest whole checkpoint of a run folder, or a checkpoint
// file. report hears of damaged checkpoints that were passed over; it may be
// nil.
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
		return nil, fmt.Errorf("%s: is no checkpoint of a run: it says nothing of its settings (an exported backbone has no decoder to show)", file.Path)
	}
	r := &Run{Path: file.Path, file: file}
	var err error
	if r.Config, err = configs.Parse(file.Path, []byte(text)); err != nil {
		return nil, fmt.Errorf("%s: settings: %w", file.Path, err)
	}
	if r.Step, err = strconv.Atoi(file.Meta[runs.MetaStep]); err != nil {
		return nil, fmt.Errorf("%s: step %q is no number", file.Path, file.Meta[runs.MetaStep])
	}
	m := &Model{}
	if m.Config, err = fileConfig(file, runs.BackbonePrefix, LoadOptions{}); err != nil {
		return nil, err
	}
	m.Info = m.Config.Info()
	if m.Mean, m.Std, err = fileNormalisation(file, m.Info.Channels, LoadOptions{}); err != nil {
		return nil, err
	}
	r.model, r.Mean, r.Std = m, m.Mean, m.Std
	return r, nil
}

// ErrNoPicture is wrapped by the error of reconstructing with an objective that
// predicts no pixels.
var ErrNoPicture = errors.New("predicts no pixels: its plan has no picture to draw")

// ReconstructOptions say what is shown.
type ReconstructOptions struct {
	Images data.Source // where the images come from
	IDs    []int       // which of them; nil means Count spread evenly
	Count  int         // 0 means 8
	Seed   uint64      // of the masks: another seed hides other parts
	// Mode is where the objective runs; "" means the run's own setting.
	Mode      host.Mode
	LogWriter io.Writer // gets the plugin's standard error
}

// Reconstruction is one picture result of an objective, drawn.
type Reconstruction struct {
	Name string // as the objective calls it
	Grid *image.RGBA
	// Error is the root mean square difference between prediction and
	// original over the hidden pixels, in levels of 0 to 255; over all
	// pixels where nothing is hidden.
	Error float64
}

// Reconstruct shows images to the run's network the way its objective trains it,
// without random crops, and draws what it predicts: a row per image with the
// input, what was visible, the prediction, and the prediction pasted into the
// visible parts. Predictions of normalised patches get back the mean and the
// deviation of the original patch, as in MAE's own demo. It serves every
// objective whose plan has picture results.
func (r *Run) Reconstruct(ctx context.Context, e *device.CPU, o ReconstructOptions) ([]Reconstruction, error) {
	ids := o.IDs
	if ids == nil {
		if o.Count == 0 {
			o.Count = 8
		}
		if o.Count < 0 {
			return nil, fmt.Errorf("reconstruct: %d images: at least 1 is needed", o.Count)
		}
		ids = spreadIDs(o.Images.Len(), o.Count)
	}
	for _, id := range ids {
		if id < 0 || id >= o.Images.Len() {
			return nil, fmt.Errorf("reconstruct: image %d of %d: they count from 0", id, o.Images.Len())
		}
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
	model, err := program.Build(e, store, plan, r.model.Config, len(ids), uint64(r.Config.Run.Seed), program.Options{
		Plugin: r.Config.Objective.Name, TotalSteps: uint64(max(r.Step, 1)), Evaluator: noEvaluation{},
		Context: ctx, Deadline: launch.Program(r.Config.Objective).CallDeadline,
	})
	if err != nil {
		return nil, err
	}
	if err := param.LoadInto(store, r.file, nil, false); err != nil {
		return nil, err
	}
	inputs, names, err := r.inputs(ctx, objective, model, o, ids)
	if err != nil {
		return nil, err
	}
	if err := model.Step(inputs); err != nil {
		return nil, fmt.Errorf("reconstruct: %w", err)
	}
	var out []Reconstruction
	for i, p := range model.Pictures() {
		drawn, err := r.draw(p, r.normalisation(plan, i), names)
		if err != nil {
			return nil, fmt.Errorf("reconstruct: picture %s: %w", p.Name, err)
		}
		out = append(out, *drawn)
	}
	return out, nil
}

// noEvaluation stands in for what an objective computes in its own process:
// pictures come from the program alone.
type noEvaluation struct{}

func (noEvaluation) Evaluate(*program.Evaluation) (float64, error) { return 0, nil }

// open starts the objective with the settings it was trained with.
func (r *Run) open(ctx context.Context, o ReconstructOptions, batch, images int) (*host.Objective, error) {
	return launch.Open(ctx, launch.Request{
		Config: r.Config, Network: r.model.Config, Batch: batch, TotalSteps: max(r.Step, 1), StepsPerEpoch: 1, Images: images,
		Mode: o.Mode, LogWriter: o.LogWriter,
	})
}

// wholeFitting shows as much of an image as its aspect lets a view show, the same in
// views of every size.
var wholeFitting = data.Fitting{Crop: data.CropCentre, CropPct: 1, Interpolation: pixels.Bicubic}

// inputs reads the images and asks the objective what to hide. It returns the images' names: an unreadable one is replaced.
func (r *Run) inputs(ctx context.Context, objective *host.Objective, model *program.Model, o ReconstructOptions, ids []int) (in program.Inputs, names []string, err error) {
	var specs []data.ViewSpec
	for _, v := range objective.Plan().Views {
		shape := model.ViewShape(v.Name)
		mean, std := viewNormalisation(v, r.Mean, r.Std)
		specs = append(specs, data.EvalView(v.Name, shape[2], shape[3], wholeFitting, float32s(mean), float32s(std)))
	}
	source := data.Subset(o.Images, ids)
	loader, err := data.NewLoader(source, data.LoaderOptions{Views: specs, BatchSize: len(ids), Epochs: 1, OnError: data.Skip, MaxFailed: 1})
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
		in.IDs[i], names[i] = uint64(ids[place]), source.Name(int(place))
	}
	request := &plan.MaskRequest{Step: in.Step, Seed: o.Seed, SampleIDs: in.IDs}
	for i, spec := range specs {
		copy(model.View(spec.Name), batch.Views[i])
		var boxes []plan.Box
		for _, b := range batch.Geometry[i] {
			boxes = append(boxes, plan.Box{Top: b.Top, Left: b.Left, Height: b.Height, Width: b.Width, Flip: b.Flip, SourceHeight: b.SourceH, SourceWidth: b.SourceW})
		}
		in.Boxes = append(in.Boxes, boxes)
		request.Geometry = append(request.Geometry, plan.ViewGeometry{View: spec.Name, Boxes: boxes})
	}
	if len(model.Plan.Masks) > 0 {
		in.Masks, err = objective.Mask(ctx, request)
	}
	return in, names, err
}

func viewNormalisation(v *plan.View, mean, std []float64) ([]float64, []float64) {
	if len(v.Mean) > 0 {
		mean = v.Mean
	}
	if len(v.Std) > 0 {
		std = v.Std
	}
	return mean, std
}

// normalisation is that of the view which picture i of the plan shows.
func (r *Run) normalisation(p *plan.Plan, i int) pictures.Normalisation {
	n := pictures.Normalisation{Mean: r.Mean, Std: r.Std}
	for _, v := range p.Views {
		if v.Name == p.Results.Pictures[i].View {
			n.Mean, n.Std = viewNormalisation(v, r.Mean, r.Std)
		}
	}
	return n
}

// hiddenColour covers what the network did not see.
var hiddenColour = color.RGBA{176, 178, 182, 255}

// draw makes the grid of one picture result.
func (r *Run) draw(p program.Picture, n pictures.Normalisation, names []string) (*Reconstruction, error) {
	area := p.Height * p.Width
	anything := false
	hiddenShare := 0.0
	for _, h := range p.Hidden {
		if h {
			anything = true
			hiddenShare += 1 / float64(len(p.Hidden))
		}
	}
	columns := []string{"input", "masked", "reconstruction", "with visible parts"}
	if !anything {
		columns = []string{"input", "prediction"}
	}
	grid := pictures.Grid{Columns: columns, Title: fmt.Sprintf("%s: %s with %s, step %d", p.Name, r.Config.Objective.Name, r.model.Info.Name, r.Step)}
	if anything {
		grid.Title += fmt.Sprintf(", %.0f %% hidden", 100*hiddenShare)
	}
	sum, count := 0.0, 0
	for b := range p.Batch {
		values := b * p.Channels * area
		picture := func(from []float32) (*image.RGBA, error) {
			return n.Image(from[values:values+p.Channels*area], p.Height, p.Width)
		}
		input, err := picture(p.Original)
		if err != nil {
			return nil, err
		}
		prediction, err := picture(p.Prediction)
		if err != nil {
			return nil, err
		}
		hidden := p.Hidden[b*area : (b+1)*area]
		squares, m := squaredDifference(input, prediction, hidden, anything)
		sum, count = sum+squares, count+m
		row := pictures.Row{Caption: fmt.Sprintf("%s, error %.1f", filepath.ToSlash(names[b]), math.Sqrt(squares/float64(max(m, 1))))}
		if !anything {
			row.Cells = []pictures.Cell{{Image: input}, {Image: prediction}}
			grid.Rows = append(grid.Rows, row)
			continue
		}
		masked := image.NewRGBA(input.Rect)
		together := image.NewRGBA(input.Rect)
		copy(masked.Pix, input.Pix)
		copy(together.Pix, input.Pix)
		for i, h := range hidden {
			if h {
				masked.SetRGBA(i%p.Width, i/p.Width, hiddenColour)
				copy(together.Pix[4*i:4*i+4], prediction.Pix[4*i:4*i+4])
			}
		}
		row.Cells = []pictures.Cell{{Image: input}, {Image: masked}, {Image: prediction}, {Image: together}}
		grid.Rows = append(grid.Rows, row)
	}
	drawn, err := grid.Draw()
	if err != nil {
		return nil, err
	}
	return &Reconstruction{Name: p.Name, Grid: drawn, Error: math.Sqrt(sum / float64(max(count, 1)))}, nil
}

// squaredDifference sums the squared differences of the drawn levels over the
// hidden pixels, or all of them, and counts the values.
func squaredDifference(a, b *image.RGBA, hidden []bool, onlyHidden bool) (sum float64, count int) {
	for i, h := range hidden {
		if onlyHidden && !h {
			continue
		}
		for c := range 3 {
			d := float64(a.Pix[4*i+c]) - float64(b.Pix[4*i+c])
			sum += d * d
		}
		count += 3
	}
	return sum, count
}
