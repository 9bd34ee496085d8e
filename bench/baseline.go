package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/vittool/vittool/core/device"
	"github.com/vittool/vittool/internal/atomicfile"
)

const (
	// tolerated is how much slower than in the baseline a kernel may be.
	tolerated = 1.10
	// again is how often a kernel that seems slower is measured anew: on a shared machine a
	// neighbour is the usual cause.
	again = 4
)

// A Slowdown is a kernel that takes longer than it did in the baseline, in units of the machine's
// peak at the time of each.
type Slowdown struct {
	Name  string  `json:"name"`
	Shape string  `json:"shape"`
	Ratio float64 `json:"ratio"` // 1.2: 20 % slower
}

// Against compares kernels with those of an earlier report. Costs are in operations that the peak
// of the same run could have done meanwhile, of the best round, so that a machine that runs slower
// today changes nothing. Kernels that are in one report only are not compared.
func Against(ctx context.Context, dev *device.CPU, now []Kernel, base *Report) ([]Slowdown, error) {
	before := map[string]float64{}
	for _, k := range base.Kernels {
		before[k.Name+"\x00"+k.Shape] = k.Cost
	}
	list, err := recipes()
	if err != nil {
		return nil, err
	}
	var slower []Slowdown
	for i, k := range now {
		was := before[k.Name+"\x00"+k.Shape]
		if was <= 0 {
			continue
		}
		cost := k.Cost
		for range again {
			if cost <= tolerated*was {
				break
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			anew, err := measure(dev, list[i], dev.MeasurePeak(), 10)
			if err != nil {
				return nil, err
			}
			cost = min(cost, anew.Cost)
		}
		if cost > tolerated*was {
			slower = append(slower, Slowdown{k.Name, k.Shape, cost / was})
		}
	}
	return slower, nil
}

// comparable says why kernels of m cannot be compared with those of a baseline.
func (m Machine) comparable(base Machine) error {
	if m.Kernels != base.Kernels || m.Threads != base.Threads {
		return fmt.Errorf("the baseline was saved with %s kernels on %d threads, this run has %s kernels on %d: run with the same, or save another baseline",
			base.Kernels, base.Threads, m.Kernels, m.Threads)
	}
	return nil
}

// Load reads a report that was written as JSON.
func Load(file string) (*Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s is no report of vittool bench: %w", file, err)
	}
	if len(r.Kernels) == 0 {
		return nil, fmt.Errorf("%s holds no kernels: write it with vittool bench --only kernels --save %s", file, file)
	}
	return &r, nil
}

// Save writes the report as JSON to a file.
func (r *Report) Save(file string) error {
	return atomicfile.Write(file, r.WriteJSON)
}

// SlowerError says that kernels got slower than they were.
type SlowerError struct{ Kernels []Slowdown }

func (e *SlowerError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d kernels are more than %.0f %% slower than in the baseline:", len(e.Kernels), 100*(tolerated-1))
	for _, s := range e.Kernels {
		fmt.Fprintf(&b, "\n  %s %s: %.2f times the time", s.Name, s.Shape, s.Ratio)
	}
	return b.String()
}
