package backbone

import (
	"errors"
	"fmt"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
)

// Network is a network whose tensors lie in a store. Several graphs, of different batches and image
// sizes, may be built from one.
type Network interface {
	Config() Config
	// Weight returns a parameter or buffer by timm's name, or nil.
	Weight(name string) *param.Parameter
	// Parameters returns the parameters in timm's order.
	Parameters() []*param.Parameter
	// Buffers returns the state that no optimizer touches, such as running statistics, in timm's
	// order.
	Buffers() []*param.Parameter
	// DropPath declares the factors of stochastic depth of a pass of that name over batch samples
	// as inputs of the graph; it is nil for a network that drops nothing.
	DropPath(g *core.Graph, name string, batch int) *DropPath
	// Forward builds the pass over images [B, C, H, W]. H and W may be any that CheckImage permits.
	// It refuses options that the network lacks; shape errors come out of the graph's Compile.
	Forward(g *core.Graph, images *core.Node, o Options) (Outputs, error)
}

// Options are the variations of one forward pass. A network refuses those that it does not have.
type Options struct {
	// Keep [B, K] int: indices of the patches that are seen, in the order in which they become
	// tokens; the others cost nothing. Nil keeps all.
	Keep *core.Node
	// Mask [B, L]: 1 where a patch's embedding is replaced by the mask token, in raster order. Nil
	// masks none.
	Mask *core.Node
	// MaskToken [1, 1, D] stands in for masked patches; nil is the network's own.
	MaskToken *core.Node
	// DropPath holds the factors of stochastic depth, as of [Network.DropPath]; nil drops nothing.
	DropPath *DropPath
	// Train normalizes with the statistics of the batch, which move the running ones when the step
	// is committed; without it running statistics are used. Networks without buffers ignore it.
	Train bool
}

// RefuseMasks is the error of a network that sees whole images only, nil where the options ask for
// nothing else.
func (o Options) RefuseMasks(network string) error {
	switch {
	case o.Keep != nil:
		return fmt.Errorf("%s sees whole images, and this pass drops patches", network)
	case o.Mask != nil:
		return fmt.Errorf("%s sees whole images, and this pass masks patches", network)
	}
	return nil
}

// Output names a result of a forward pass.
type Output string

// The outputs of a forward pass. B is the batch, T and K numbers of tokens, D the width.
const (
	Class       Output = "class token"   // [B, D], after the final norm
	Tokens      Output = "tokens"        // [B, T, D], after the final norm, class token first
	PatchTokens Output = "patch tokens"  // [B, K, D], tokens without the class token
	Pooled      Output = "pooled output" // [B, D], the mean over patches or cells
	Map         Output = "feature map"   // [B, D, rows, columns]
)

// Outputs are the nodes of one forward pass. Asking twice gives the same node.
type Outputs interface {
	// Output returns a named output, or an error that says that the network has none; see
	// [NoOutput].
	Output(o Output) (*core.Node, error)
	// Tap returns the activations after block or stage i, counted from 0: tokens [B, T, D] before
	// the final norm, or a map [B, C, h, w].
	Tap(i int) (*core.Node, error)
	// After returns the outputs as if block or stage i were the last one, with the final norm where
	// there is one.
	After(i int) (Outputs, error)
	// Attention is the softmax weights of block i, [B, heads, T, T]; for pictures, it takes no part
	// in the gradient.
	Attention(i int) (*core.Node, error)
}

// NoOutput is the error of a network that lacks an output.
func NoOutput(network string, o Output) error { return fmt.Errorf("%s has no %s", network, o) }

// CheckTap refuses the index of a block or stage that the network does not have.
func (i Info) CheckTap(tap int) error {
	if tap < 0 || tap >= i.Depth {
		return fmt.Errorf("%s %d is tapped; the network has %d", i.Part(), tap, i.Depth)
	}
	return nil
}

// Freeze marks all weights as not trained, as those of a teacher.
func Freeze(n Network) {
	for _, p := range n.Parameters() {
		p.Frozen = true
	}
}

// Copy copies the tensors of src, a network of the same config, to dst.
func Copy(dst, src Network) error {
	to, from := append(dst.Parameters(), dst.Buffers()...), append(src.Parameters(), src.Buffers()...)
	if len(to) != len(from) {
		return errors.New("copy backbone: the networks have different numbers of tensors")
	}
	for i, p := range to {
		if !p.Shape.Equal(from[i].Shape) {
			return fmt.Errorf("copy backbone: %s is %v, and %s %v", from[i].Name, from[i].Shape, p.Name, p.Shape)
		}
		copy(p.Data, from[i].Data)
	}
	return nil
}
