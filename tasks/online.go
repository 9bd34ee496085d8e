package tasks

import (
	"context"
	"errors"
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/runs"
)

// OnlineKNN evaluates the features of a network again and again while it is trained. A figure equals
// that of [KNN] with the checkpoint of the same step: network, images and arithmetic are the same.
// Between two evaluations it holds no memory but the lists of images.
type OnlineKNN struct {
	model   *Model
	images  *Labelled
	knn     KNN
	options ExtractOptions
	peak    int64
	note    func(string)
	left    bool // images that can't be read were told of
}

// OpenOnlineKNN opens the images that eval.data names and tries memory and network once, on dev.
// features are the objective's recommendation, and network is the one that they name.
//
// Faults of the images are a *data.Error, those of settings a *configs.Error.
func OpenOnlineKNN(cfg *configs.Config, network backbone.Network, features runs.Features, dev *device.CPU, note func(string)) (_ *OnlineKNN, err error) {
	e := cfg.Eval
	train, test, err := SplitPaths(e.Data)
	var setting *configs.Error
	var folder *data.Error
	switch {
	case errors.As(err, &setting):
		setting.Key = "eval.data"
	case errors.As(err, &folder):
		folder.Hint = "let eval.data name a folder that holds both"
	}
	if err != nil {
		return nil, err
	}
	o := &OnlineKNN{model: inTraining(cfg, network, features), knn: KNN{K: []int{e.K}, Temperature: e.Temperature}, note: note}
	o.images, err = OpenLabelled(train, test, data.Options{Channels: o.model.Info.Channels, MaxPixels: int64(cfg.Data.MaxPixels), Note: note}, e.Limit)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.Close()
		}
	}()
	for _, n := range o.images.Notes() {
		note("eval.data: " + n)
	}
	if err := o.knn.CheckImages(train, "eval.k", o.images.Train.Len()); err != nil {
		return nil, err
	}
	workers := cfg.Data.Workers
	if workers == 0 {
		workers = dev.Threads()
	}
	o.options = ExtractOptions{BatchSize: min(64, cfg.Train.BatchSize), Workers: workers, OnError: data.OnError(cfg.Data.OnError), MaxFailed: cfg.Data.MaxFailed}
	if err = o.try(dev, e.Data); err != nil {
		return nil, err
	}
	return o, nil
}

// inTraining is the model of a run as LoadModel would read it from its checkpoint, without a copy of
// the weights.
func inTraining(cfg *configs.Config, network backbone.Network, features runs.Features) *Model {
	m := &Model{Config: network.Config(), Info: network.Config().Info(), Backbone: network, Step: -1,
		Input: Input{Fitting: ownFitting}, Pool: Pool(features.Pool), Network: Network(features.Network)}
	m.Mean, m.Std = cfg.Data.Normalization()
	return m
}

// try compiles the graph of a full batch, which is dropped again, and notes the memory that an
// evaluation takes at most. images is the value of eval.data.
func (o *OnlineKNN) try(dev *device.CPU, images string) error {
	try := o.options
	if err := o.model.extractDefaults(&try, o.images.Train); err != nil {
		return err
	}
	graph, err := o.model.featureGraph(dev, try.BatchSize, try)
	if b := dev.Budget; err != nil && b != nil && b.Wanted > 0 {
		return &configs.Error{Key: "eval.data", Value: images, Problem: fmt.Sprintf("features can't be evaluated in the memory that training leaves: %.1f GiB are free", float64(b.Limit)/(1<<30)),
			Hint: "make train.batch_size smaller, or leave eval.data out"}
	}
	if err != nil {
		return err
	}
	width := 0
	for _, out := range graph.outputs {
		width += out.Shape()[1]
	}
	rows, tests := int64(o.images.Train.Len()+o.images.Test.Len()), int64(o.images.Test.Len())
	o.peak = int64(graph.exec.Bytes()) + 2*4*rows*int64(width) + 8*tests*int64(len(o.images.Classes)) + 4*queryBlock*bankBlock
	return nil
}

// About describes the evaluation: images, neighbors, and the memory that it takes beside that of
// training, without that of reading images.
func (o *OnlineKNN) About() string {
	of := map[Network]string{NetworkStudent: "trained", NetworkTeacher: "averaged"}[o.model.Network]
	return fmt.Sprintf("features of the %s network are evaluated by %d neighbors: %d images to learn from, %d to test on, %d classes; each time takes up to %.0f MB of memory",
		of, o.knn.K[0], o.images.Train.Len(), o.images.Test.Len(), len(o.images.Classes), float64(o.peak)/1e6)
}

// Run extracts the features of both sets from the network as it is now and classifies the test
// images. Step, epoch and time of the result are left open.
func (o *OnlineKNN) Run(ctx context.Context, dev *device.CPU) (line runs.EvalLine, err error) {
	unread, example := 0, ""
	options := o.options
	options.OnSkip = func(name string, e error) {
		if unread++; unread == 1 {
			example = fmt.Sprintf("%s: %v", name, e)
		}
	}
	var sets [2]*Features
	for i, src := range []data.Source{o.images.Train, o.images.Test} {
		if sets[i], err = o.model.Extract(ctx, dev, src, options); err != nil {
			return line, err
		}
		o.images.Relabel(sets[i])
	}
	results, err := o.knn.Run(dev, sets[0], sets[1])
	if err != nil {
		return line, err
	}
	if unread > 0 && !o.left {
		o.left = true
		o.note(fmt.Sprintf("eval.data: images that can't be read are left out of the evaluation: %d, such as %s", unread, example))
	}
	return runs.EvalLine{KNN: results[0].Top1, K: o.knn.K[0], Network: string(o.model.Network), Pool: string(sets[0].Pool),
		Train: sets[0].Rows, Test: sets[1].Rows}, nil
}

// Close closes the images.
func (o *OnlineKNN) Close() { o.images.Close() }
