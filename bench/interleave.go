package bench

import (
	"context"
	"fmt"
	"time"
)

// A Stepper is one side of a comparison: it does one training step at a time, when told to, and is
// idle in between.
type Stepper interface {
	Name() string
	Step(ctx context.Context) (time.Duration, error)
}

// stepper is a Stepper that is a function.
type stepper struct {
	name string
	step func(ctx context.Context) (time.Duration, error)
}

func (s stepper) Name() string                                    { return s.name }
func (s stepper) Step(ctx context.Context) (time.Duration, error) { return s.step(ctx) }

// settle is the pause between two steps of different sides: work that the last one left behind (a
// loader that fills its queue, workers that spin for a moment before they park) must not be charged
// to the next.
const settle = 100 * time.Millisecond

// Interleave runs the sides in turn, A, B, A, B …, and returns the seconds of each side's steps.
// The first warmup rounds are not kept: they compile, grow buffers and fill caches.
func Interleave(ctx context.Context, warmup, rounds int, sides ...Stepper) ([]Series, error) {
	out := make([]Series, len(sides))
	for round := range warmup + rounds {
		for i, s := range sides {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(settle):
			}
			d, err := s.Step(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", s.Name(), round, err)
			}
			if round >= warmup {
				out[i] = append(out[i], d.Seconds())
			}
		}
	}
	return out, nil
}
