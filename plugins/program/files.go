package program

import (
	"fmt"

	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

// fileTensor reads the values of a parameter from the safetensors file that the plan names. The
// file must be whole and the one that the plan was made for.
func (c *Compiler) fileTensor(in *plan.Init, shape tensor.Shape) ([]float32, error) {
	f := c.files[in.Path]
	if f == nil {
		var err error
		if f, err = tensor.ReadSafetensors(in.Path); err != nil {
			return nil, err
		}
		if err := f.VerifyDigest(); err != nil {
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
		return nil, fmt.Errorf("%s: tensor %s is %v, %v is wanted", in.Path, in.Tensor, t.Shape, shape)
	}
	return t.Float32s()
}
