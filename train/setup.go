package train

import (
	"context"
	"fmt"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/launch"
)

// setup is everything that is opened and checked before the first step and stays as it is:
// configuration, device, images, objective, network.
type setup struct {
	cfg       *configs.Config
	progress  Progress
	log       *lockedWriter // log.txt, for the plugin's standard error
	device    *device.CPU
	source    data.Source
	objective *host.Objective
	network   backbone.Config // with the plan's requirements once the graph is built

	epochs      epochs
	total       int            // optimizer steps
	rate, decay optim.Schedule // learning rate and weight decay
}

// open starts the device, indexes the images and starts the objective. A device of
// another kind would be chosen here: graphs, gradients and optimizer all take the setup's.
func (s *setup) open(ctx context.Context) (err error) {
	if s.device, err = device.NewCPU(s.cfg.Run.Threads); err != nil {
		return &configs.Error{Source: "environment", Problem: err.Error()}
	}
	if err := s.openData(); err != nil {
		return err
	}
	if s.network, err = s.cfg.Backbone(); err != nil {
		return err
	}
	s.objective, err = launch.Open(ctx, launch.Request{
		Config: s.cfg, Network: s.network, Batch: s.cfg.Train.LossBatch(), TotalSteps: s.total, StepsPerEpoch: s.epochs.perEpoch(),
		Images: s.source.Len(), LogWriter: s.log,
	})
	return err
}

// openData indexes the images and counts the steps of an epoch and of the run.
func (s *setup) openData() (err error) {
	d, t := s.cfg.Data, s.cfg.Train
	s.source, err = data.Open(data.Options{Path: d.Path, Channels: d.Channels, MaxPixels: int64(d.MaxPixels), Note: s.progress.Event})
	if err != nil {
		return err
	}
	if err := data.CheckChannels(s.source); err != nil {
		return err
	}
	n, batch := s.source.Len(), t.BatchSize
	if n == 0 || (t.DropLast && batch > n) {
		return &data.Error{Path: d.Path, Problem: fmt.Sprintf("a batch of %d is larger than the data set of %d images", batch, n),
			Hint: "make train.batch_size smaller, or set train.drop_last=false"}
	}
	s.epochs = newEpochs(n, t)
	s.total = s.epochs.total()
	if out := s.epochs.dropped; out > 0 {
		s.progress.Event(fmt.Sprintf("an epoch reads %d of the %d images: train.drop_last leaves the last %d of each random order out", s.epochs.images, n, out))
	}
	// A few steps of a recipe are a trial of it, not a mistake.
	if t.WarmupEpochs > s.epochs.at(s.total) {
		s.progress.Warning(fmt.Sprintf("the learning rate does not reach its peak: train.warmup_epochs = %g are longer than the run of %s",
			t.WarmupEpochs, s.epochs.length()))
	}
	return nil
}

func (s *setup) close() {
	if s.objective != nil {
		s.objective.Close()
	}
	if s.source != nil {
		s.source.Close()
	}
	if s.device != nil {
		s.device.Close()
	}
}
