package program

import (
	"context"
	"errors"
	"fmt"

	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

// fileTensor reads the values of a parameter from the safetensors file that the plan names. The file
// must be whole and the one that the plan was made for. Memory is bounded by the plan's own
// parameters: only tensors of their names and shapes are kept.
func (c *Compiler) fileTensor(in *plan.Init, shape tensor.Shape) ([]float32, error) {
	f := c.files[in.Path]
	if f == nil {
		var err error
		if f, err = c.readFile(in.Path); err != nil {
			return nil, err
		}
		c.files[in.Path] = f
	}
	if got := f.Meta["digest"]; got != in.Digest {
		return nil, fmt.Errorf("%s: its digest is %s, and the plan was made for %s: the file changed meanwhile", in.Path, got, in.Digest)
	}
	t, ok := f.Get(in.Tensor)
	if !ok {
		return nil, fmt.Errorf("%s has no tensor %q", in.Path, in.Tensor)
	}
	if !t.Shape.Equal(shape) {
		return nil, fmt.Errorf("%s: %w", in.Path, wrongShape(in.Tensor, t.Shape, shape))
	}
	return t.Float32s()
}

// readFile reads the tensors that the plan takes from a file, within the deadline.
func (c *Compiler) readFile(path string) (*tensor.File, error) {
	ctx := c.context
	if ctx == nil {
		ctx = context.Background()
	}
	if c.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.deadline)
		defer cancel()
	}
	wanted := c.Plan.FileTensors(path)
	f, err := tensor.ReadPart(ctx, path, func(name string, shape tensor.Shape) (bool, error) {
		want, ok := wanted[name]
		if ok && !shape.Equal(tensor.Shape(want)) {
			return false, wrongShape(name, shape, want)
		}
		return ok, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("%s was not read within %v; raise objective.deadline if it needs longer", path, c.deadline)
	}
	return f, err
}

func wrongShape(name string, got, want tensor.Shape) error {
	return fmt.Errorf("tensor %s is %v, %v is wanted", name, got, want)
}
