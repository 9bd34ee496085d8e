package check

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
)

// compileWidth is the greatest width of a backbone that a program is compiled for: wider ones cost
// memory and time and show nothing new.
const compileWidth = 128

// try compiles the plan's program for a batch of two random images and runs it forward and
// backward. It returns a note for people.
func (s *suite) try(o *host.Objective, network backbone.Config) (string, error) {
	p, b := o.Plan(), network.Info()
	if b.Dim > compileWidth || b.Channels != 3 {
		return "", nil
	}
	if p.Computes() {
		return "; not run, it computes in the plugin", nil
	}
	dev, err := device.NewCPU(0)
	if err != nil {
		return "", err
	}
	defer dev.Close()
	const batch, seed, step = 2, 42, 3
	store := param.NewStore()
	m, err := program.Build(dev, store, p, network, batch, seed,
		program.Options{Plugin: o.Description().Name, Train: true, TotalSteps: 1000, Context: s.ctx, Deadline: s.o.CallDeadline})
	if err != nil {
		return "", err
	}
	r := request(step, batch)
	in := program.Inputs{Step: step, IDs: r.SampleIDs, Labels: []int32{0, -1}}
	for _, v := range p.Views {
		pixels, random := m.View(v.Name), sdk.NewRNG(seed)
		for i := range pixels {
			pixels[i] = float32(random.NormFloat64())
		}
		box := plan.Box{Height: float64(b.ImageH), Width: float64(b.ImageW), SourceHeight: b.ImageH, SourceWidth: b.ImageW}
		in.Boxes = append(in.Boxes, slices.Repeat([]plan.Box{box}, batch))
		r.Geometry = append(r.Geometry, plan.ViewGeometry{View: v.Name, Boxes: in.Boxes[len(in.Boxes)-1]})
	}
	if len(p.Masks) > 0 {
		if in.Masks, err = o.Mask(s.ctx, r); err != nil {
			return "", err
		}
	}
	if err := m.Step(in); err != nil {
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
