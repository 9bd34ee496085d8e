package sdk

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Weights is a safetensors file whose tensors parameters can start from: a network that was trained
// before. Only its header is read here; the host reads the values and makes sure that the file is
// whole.
type Weights struct {
	Path   string
	Meta   map[string]string
	shapes map[string][]int
}

// maxHeader is the longest header of a safetensors file that is read.
const maxHeader = 100 << 20

// OpenWeights reads the header of a file. It must carry a digest, as files that vittool writes do.
func OpenWeights(path string) (*Weights, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var length [8]byte
	if _, err := io.ReadFull(file, length[:]); err != nil {
		return nil, fmt.Errorf("%s is no safetensors file: %w", path, err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if info, err := file.Stat(); err != nil || n > maxHeader || int64(n) > info.Size()-8 {
		return nil, errors.Join(fmt.Errorf("%s is no safetensors file: it claims a header of %d bytes", path, n), err)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(file, header); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(header, &entries); err != nil {
		return nil, fmt.Errorf("%s is no safetensors file: its header: %w", path, err)
	}
	w := &Weights{Path: path, Meta: map[string]string{}, shapes: map[string][]int{}}
	for name, raw := range entries {
		if name == "__metadata__" {
			if err := json.Unmarshal(raw, &w.Meta); err != nil {
				return nil, fmt.Errorf("%s: metadata: %w", path, err)
			}
			continue
		}
		var t struct {
			Shape []int `json:"shape"`
		}
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, fmt.Errorf("%s: tensor %q: %w", path, name, err)
		}
		w.shapes[name] = t.Shape
	}
	if w.Meta["digest"] == "" {
		return nil, fmt.Errorf("%s carries no digest in its metadata, so that a run could not tell whether it goes on with the same file", path)
	}
	return w, nil
}

// Shape is that of a tensor, nil where the file has none of this name.
func (w *Weights) Shape(tensor string) []int { return w.shapes[tensor] }

// Init takes the initial values of a parameter or buffer from a tensor of the file.
func (w *Weights) Init(tensor string) *Init {
	return &Init{Kind: FileInit, Path: w.Path, Tensor: tensor, Digest: w.Meta["digest"]}
}

// Export declares a result of the run besides the backbone: params and buffers go into a
// safetensors file under their names, with metadata that describes them to a reader.
func (b *Builder) Export(name string, params []Param, buffers []Buffer, metadata map[string]string) {
	e := Export{Name: b.take("export", name), Metadata: metadata}
	for _, p := range params {
		e.Params = append(e.Params, p.name())
	}
	for _, f := range buffers {
		e.Buffers = append(e.Buffers, f.name())
	}
	b.plan.Exports = append(b.plan.Exports, e)
}
