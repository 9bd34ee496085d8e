package backbone

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/tensor"
)

// TensorSpec describes one tensor of a network.
type TensorSpec struct {
	Name  string // timm's
	Shape tensor.Shape
	Init  param.Init // where no rule of the scheme says otherwise
	Block int        // index of its block or stage, -1 outside of them
	// Fixed computes the values of a table that is not trained; nil for all others.
	Fixed func() []float32
	// Buffer marks state that no optimizer touches, such as a running mean.
	Buffer bool
}

// Holds reports whether a file has every tensor in its shape. shape returns that of one of the file's
// tensors, false where there is none.
func Holds(shape func(name string) (tensor.Shape, bool), tensors []TensorSpec) bool {
	return !slices.ContainsFunc(tensors, func(t TensorSpec) bool {
		s, ok := shape(t.Name)
		return !ok || !s.Equal(t.Shape)
	})
}

// Tensors are the parameters and buffers of a network in a store. Families embed it for the methods
// of [Network] that are the same in all.
type Tensors struct {
	index            map[string]*param.Parameter // by timm's name
	weights, buffers []*param.Parameter
}

// Within reports whether a tensor's name begins with a module of a network: one that has one of the
// words in its name, digits at the end of a word left out (norm_pre and layer1 have norm and layer).
func Within(name string, words []string) bool {
	module, _, _ := strings.Cut(name, ".")
	return slices.ContainsFunc(strings.Split(module, "_"), func(w string) bool {
		return slices.Contains(words, strings.TrimRight(w, "0123456789"))
	})
}

// Create makes the tensors of a network, which errors call by its name, in the store under prefix +
// timm's name. Fixed tables are computed and frozen; everything else starts as the scheme says.
// Tensors that the store has already are taken as they are, so that several networks, of other
// batches or for evaluation, can stand on one store.
func Create(store *param.Store, prefix, network string, list []TensorSpec, s Scheme, seed uint64) (Tensors, error) {
	t := Tensors{index: map[string]*param.Parameter{}}
	for _, w := range list {
		p := store.Get(prefix + w.Name)
		if p == nil {
			var err error
			if p, err = create(store, prefix, w, s, seed); err != nil {
				return t, fmt.Errorf("%s: weight %s: %w", network, w.Name, err)
			}
		}
		if !p.Shape.Equal(w.Shape) {
			return t, fmt.Errorf("%s: weight %s is there already as %v, want %v", network, prefix+w.Name, p.Shape, w.Shape)
		}
		t.index[w.Name] = p
		if w.Buffer {
			t.buffers = append(t.buffers, p)
		} else {
			t.weights = append(t.weights, p)
		}
	}
	return t, nil
}

func create(store *param.Store, prefix string, w TensorSpec, s Scheme, seed uint64) (*param.Parameter, error) {
	if w.Buffer {
		return store.AddBuffer(prefix+w.Name, w.Shape, w.Init, seed)
	}
	init, err := s.init(w)
	if err != nil {
		return nil, err
	}
	p, err := store.Add(prefix+w.Name, w.Shape, init, seed)
	if err != nil {
		return nil, err
	}
	p.Decay = MatrixDecay(w.Name, w.Shape)
	if w.Fixed != nil {
		copy(p.Data, w.Fixed())
		p.Frozen = true
	}
	return p, nil
}

// Weight returns a parameter or buffer by timm's name, or nil.
func (t *Tensors) Weight(name string) *param.Parameter { return t.index[name] }

// Parameters returns the parameters in timm's order.
func (t *Tensors) Parameters() []*param.Parameter { return slices.Clone(t.weights) }

// Buffers returns the buffers in timm's order.
func (t *Tensors) Buffers() []*param.Parameter { return slices.Clone(t.buffers) }

// Node returns the node of a parameter, nil where the network has none of this name.
func (t *Tensors) Node(g *core.Graph, name string) *core.Node {
	if p := t.index[name]; p != nil {
		return g.Param(p)
	}
	return nil
}

// MatrixDecay reports whether a weight is decayed by timm's rule: everything but one-dimensional
// tensors and biases. Class and mask token are decayed by it.
func MatrixDecay(name string, shape tensor.Shape) bool {
	return len(shape) > 1 && !strings.HasSuffix(name, ".bias")
}
