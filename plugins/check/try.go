package check

import (
	"errors"
	"fmt"
	"math"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
)

// compileWidth is the widest backbone that a program is compiled for, in colour: wider ones
// and further ones cost memory and time and show nothing new.
const compileWidth = 128

// try compiles the plan's program for a batch of two random images and runs it forward
// and backward. It says in a few words what was done.
func (s *suite) try(o *host.Objective, network backbone.Config) (string, error) {
	plan, b := o.Plan(), network.Info()
	if b.Dim > compileWidth || b.Channels != 3 {
		return "", nil
	}
	if plan.Evaluate != nil || needsTargets(plan) {
		return "; not run, it computes in the plugin", nil
	}
	engine, err := device.NewCPU(0)
	if err != nil {
		return "", err
	}
	defer engine.Close()
	const batch, seed, step = 2, 42, 3
	store := param.NewStore()
	m, err := program.Build(engine, store, plan, network, batch, seed,
		program.Options{Plugin: o.Description().Name, Train: true, TotalSteps: 1000})
	if err != nil {
		return "", err
	}
	r := request(step, batch)
	for _, v := range plan.Views {
		pixels, random := m.View(v.Name), sdk.NewRNG(seed)
		for i := range pixels {
			pixels[i] = float32(random.NormFloat64())
		}
		var boxes []*pb.Box
		for range batch {
			boxes = append(boxes, &pb.Box{Height: float64(b.ImageH), Width: float64(b.ImageW), SourceHeight: uint32(b.ImageH), SourceWidth: uint32(b.ImageW)})
		}
		if err := m.SetGeometry(v.Name, boxes); err != nil {
			return "", err
		}
		r.Geometry = append(r.Geometry, &pb.ViewGeometry{View: v.Name, Boxes: boxes})
	}
	m.SetLabels([]int32{0, -1})
	m.SetStep(step, r.SampleIds)
	if len(plan.Masks) > 0 {
		masks, err := o.Mask(s.ctx, r)
		if err != nil {
			return "", err
		}
		if err := m.SetMasks(masks); err != nil {
			return "", err
		}
	}
	if err := m.Remember(nil); err != nil {
		return "", err
	}
	if err := m.Run(); err != nil {
		return "", err
	}
	if name, i, v, ok := m.Exec().FirstNonFinite(); !ok {
		return "", fmt.Errorf("on random images element %d of %s is %v", i, name, v)
	}
	if trained := m.Exec().Parameters(); len(trained) == 0 {
		return "", errors.New("no parameter gets a gradient from the loss")
	}
	if l := m.Loss(); math.IsNaN(l) || math.IsInf(l, 0) {
		return "", fmt.Errorf("the loss on random images is %v", l)
	}
	return fmt.Sprintf("; loss on random images %.4g", m.Loss()), nil
}

func needsTargets(plan *pb.Plan) bool {
	for _, t := range plan.Targets {
		if t.Source == pb.TargetSpec_SOURCE_PLUGIN {
			return true
		}
	}
	return false
}
