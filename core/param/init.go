package param

import (
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/vittool/vittool/internal/prng"
	"github.com/vittool/vittool/tensor"
)

// Init is the recipe of the initial values of a parameter or buffer.
type Init struct {
	// Kind is one of: zeros, ones, constant (A), normal (standard deviation A), trunc_normal
	// (standard deviation A, cut at ±B), uniform (±A), xavier_uniform (±sqrt(6/(FanIn+FanOut))),
	// fan_in_uniform (±1/sqrt(FanIn)), data (the caller fills them).
	Kind string
	A, B float64
	// FanIn and FanOut come from the shape where they are 0: FanOut is the first dimension, FanIn
	// the product of all others.
	FanIn, FanOut int
	// Kernel takes a shape of more than two dimensions as a convolution's, [out, in, ...]: FanOut is
	// then the number of outputs times the positions of the kernel, as in PyTorch.
	Kernel bool
}

// fill writes the initial values. Element i uses number i of the generator.
func (in Init) fill(dst []float32, shape tensor.Shape, r *prng.Generator) error {
	switch in.Kind {
	case "data":
	case "zeros":
		clear(dst)
	case "ones":
		fillConstant(dst, 1)
	case "constant":
		fillConstant(dst, float32(in.A))
	default:
		draw, err := in.distribution(shape)
		if err != nil {
			return err
		}
		fillRandom(dst, draw, r)
	}
	return nil
}

// distribution returns the function from 64 uniform bits to a random number of the recipe.
func (in Init) distribution(shape tensor.Shape) (func(bits uint64) float64, error) {
	fanIn, fanOut := in.fans(shape)
	switch in.Kind {
	case "normal":
		return func(v uint64) float64 { return in.A * prng.NormalFromBits(v) }, nil
	case "trunc_normal":
		if in.B <= 0 {
			return nil, fmt.Errorf("init trunc_normal needs a positive bound B, not %v", in.B)
		}
		return func(v uint64) float64 { return prng.TruncatedFromBits(v, in.A, in.B) }, nil
	case "uniform":
		return uniform(in.A), nil
	case "xavier_uniform":
		if fanIn+fanOut <= 0 {
			return nil, fmt.Errorf("init xavier_uniform needs FanIn and FanOut for shape %v", shape)
		}
		return uniform(math.Sqrt(6 / float64(fanIn+fanOut))), nil
	case "fan_in_uniform":
		if fanIn <= 0 {
			return nil, fmt.Errorf("init fan_in_uniform needs FanIn for shape %v", shape)
		}
		return uniform(1 / math.Sqrt(float64(fanIn))), nil
	}
	return nil, fmt.Errorf("unknown init %q (zeros, ones, constant, normal, trunc_normal, uniform, xavier_uniform, fan_in_uniform, data)", in.Kind)
}

// fans returns FanIn and FanOut, from the shape where they are 0.
func (in Init) fans(shape tensor.Shape) (fanIn, fanOut int) {
	fanIn, fanOut = in.FanIn, in.FanOut
	if len(shape) > 0 {
		if fanIn == 0 && shape[0] > 0 {
			fanIn = shape.Size() / shape[0]
		}
		if fanOut == 0 {
			fanOut = shape[0]
			if in.Kernel && len(shape) > 2 {
				fanOut *= shape[2:].Size()
			}
		}
	}
	return fanIn, fanOut
}

// uniform maps 64 uniform bits to a uniform number in [-a, a).
func uniform(a float64) func(uint64) float64 {
	return func(v uint64) float64 { return a * (2*float64(v>>11)/(1<<53) - 1) }
}

func fillConstant(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}

// fillRandom fills dst in parallel, element i from number i of the generator.
func fillRandom(dst []float32, draw func(uint64) float64, r *prng.Generator) {
	const chunk = 1 << 15
	var group sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for lo := 0; lo < len(dst); lo += chunk {
		hi := min(lo+chunk, len(dst))
		turns <- struct{}{}
		group.Add(1)
		go func() {
			defer group.Done()
			for i := lo; i < hi; i++ {
				dst[i] = float32(draw(r.At(uint64(i))))
			}
			<-turns
		}()
	}
	group.Wait()
}
