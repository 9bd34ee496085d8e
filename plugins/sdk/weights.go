package sdk

import (
	"fmt"

	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/tensor"
)

// Weights is a safetensors file whose tensors parameters can start from: a network that was trained
// before. Only its header is read here; the host reads the values and compares their digest.
type Weights struct {
	Path   string
	Meta   map[string]string
	shapes map[string]tensor.Shape
}

// OpenWeights reads the header of a regular file. It must carry a digest, as files that vittool
// writes do. A file in another well-known format is refused with its name.
func OpenWeights(path string) (*Weights, error) {
	shapes, meta, err := tensor.ReadHeader(path)
	if err != nil {
		return nil, err
	}
	if meta["digest"] == "" {
		return nil, fmt.Errorf("%s: its metadata hold no digest, by which a run knows the file again; name a file that vittool wrote", path)
	}
	return &Weights{Path: path, Meta: meta, shapes: shapes}, nil
}

// Shape is that of a tensor, nil where the file has none of this name.
func (w *Weights) Shape(tensor string) []int { return w.shapes[tensor] }

// Init takes the initial values of a parameter or buffer from a tensor of the file.
func (w *Weights) Init(tensor string) *Init {
	return &Init{Kind: plan.InitFile, Path: w.Path, Tensor: tensor, Digest: w.Meta["digest"]}
}

// Export declares a result of the run besides the backbone: params and buffers go into a
// safetensors file under their names, with metadata that describes them to a reader.
func (b *Builder) Export(name string, params []Param, buffers []Buffer, metadata map[string]string) {
	e := &plan.Export{Name: b.take("export", name), Metadata: metadata}
	for _, p := range params {
		e.Params = append(e.Params, p.name())
	}
	for _, f := range buffers {
		e.Buffers = append(e.Buffers, f.name())
	}
	b.plan.Exports = append(b.plan.Exports, e)
}
