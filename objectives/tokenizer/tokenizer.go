// Package tokenizer is shared by the objectives vq, dvae and beit: networks that turn the patches
// of an image into discrete tokens and tokens back into pixels, and the file that a trained one is
// kept in.
//
// The networks of vq and dvae are those of van den Oord, Vinyals and Kavukcuoglu, "Neural Discrete
// Representation Learning" (2017), https://arxiv.org/abs/1711.00937, with all layers at the
// resolution of the tokens: a strided convolution that sees a patch and half of its neighbors,
// residual blocks, and the reverse with a linear map to pixels. The published encoder of DALL-E
// (Ramesh et al. 2021) stands in dalle.go.
package tokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"

	"github.com/vittool/vittool/plugins/sdk"
)

// The kinds of tokenizers.
const (
	VQ    = "vq"    // a token is the nearest row of a codebook
	DVAE  = "dvae"  // a token is the largest logit
	DALLE = "dalle" // the same, of the published encoder
)

// Format is the value of the metadata "format" of a tokenizer file.
const Format = "vittool-tokenizer-1"

// ConfigKey is the key of a tokenizer file's metadata under which its Config stands, as JSON.
const ConfigKey = "tokenizer"

// ExportName is the name of the export in the plan of a tokenizer's training.
const ExportName = "tokenizer"

// Config describes a tokenizer; the shapes of all its tensors follow from it.
type Config struct {
	Kind       string `json:"kind"`
	Vocabulary int    `json:"vocabulary"` // number of tokens, K
	Patch      int    `json:"patch"`      // pixels per token side
	Channels   int    `json:"channels"`   // of the images
	Width      int    `json:"width"`      // channels at the resolution of the tokens, W
	Blocks     int    `json:"blocks"`     // residual blocks on each side
	CodeDim    int    `json:"code_dim"`   // width of a code, D; of dalle unused
}

// Check reports the first value that no tokenizer can be built from.
func (c Config) Check() error {
	switch {
	case c.Kind != VQ && c.Kind != DVAE && c.Kind != DALLE:
		return fmt.Errorf("tokenizers are of the kinds %s, %s and %s, not %q", VQ, DVAE, DALLE, c.Kind)
	case c.Vocabulary < 2 || c.Vocabulary > 1<<20:
		return fmt.Errorf("a vocabulary of %d tokens; valid are 2 to 2^20", c.Vocabulary)
	case c.Patch < 1 || c.Patch > 256:
		return fmt.Errorf("a token of %d×%d pixels; its side must be 1 to 256", c.Patch, c.Patch)
	case c.Channels < 1 || c.Width < 4 || c.Width > 1<<14 || c.Blocks < 0 || c.Blocks > 100 || c.Kind != DALLE && (c.CodeDim < 1 || c.CodeDim > 1<<14):
		return fmt.Errorf("%d channels, width %d, %d blocks, code width %d: valid are 1 or more, 4 to 2^14, 0 to 100, 1 to 2^14", c.Channels, c.Width, c.Blocks, c.CodeDim)
	case c.Kind == DALLE && (c.Patch != 8 || c.Blocks < 1 || c.Channels != 3):
		return fmt.Errorf("the encoder of DALL-E has tokens of 8×8 pixels of 3 channels and at least one block per group, not %d×%d, %d and %d", c.Patch, c.Patch, c.Channels, c.Blocks)
	}
	return nil
}

// Options are those that the training of every tokenizer has, to be embedded in an objective.
type Options struct {
	Patch   int `option:"patch" min:"0" max:"256" help:"pixels per token side; 0: as the model's patches"`
	Width   int `option:"width" min:"4" max:"16384" help:"channels at the resolution of the tokens"`
	Blocks  int `option:"blocks" min:"0" max:"100" help:"residual blocks of encoder and decoder each"`
	CodeDim int `option:"code_dim" min:"1" max:"16384" help:"width of a code"`
}

// Config describes the tokenizer of a run: the images have the run's channels.
func (o Options) Config(b *sdk.Builder, kind string, vocabulary int) Config {
	n := b.Backbone()
	return Config{Kind: kind, Vocabulary: vocabulary, Patch: cmp.Or(o.Patch, n.Patch), Channels: n.Channels,
		Width: o.Width, Blocks: o.Blocks, CodeDim: o.CodeDim}
}

// Grid is the number of tokens of a view, down and across.
func (c Config) Grid(view sdk.View) (rows, cols int) {
	return view.Height() / max(1, c.Patch), view.Width() / max(1, c.Patch)
}

// stem is the kernel and the padding of the first convolution, whose stride is the patch: it covers
// the patch and, on each side, half of the next one.
func (c Config) stem() (kernel, padding int) {
	padding = (c.Patch + 1) / 2
	return c.Patch + 2*padding, padding
}

// Net builds the networks of a tokenizer into a plan. Its parameters are declared as trainable
// ones, or frozen ones that are taken from a file.
type Net struct {
	Config
	b      *sdk.Builder
	file   *sdk.Weights // nil: to be trained
	prefix string       // of the parameters' names
	// Params are the parameters declared so far, for the export.
	Params []sdk.Param
	done   map[string]sdk.Tensor
}

// New starts a tokenizer that is to be trained.
func New(b *sdk.Builder, c Config) *Net {
	if err := c.Check(); err != nil {
		b.Failf("tokenizer: %v", err)
	}
	if h, w := b.Backbone().Height, b.Backbone().Width; c.Patch < 1 || h%c.Patch != 0 || w%c.Patch != 0 {
		b.Failf("tokenizer: tokens of %d×%d pixels do not divide images of %d×%d", c.Patch, c.Patch, h, w)
	}
	return &Net{Config: c, b: b, done: map[string]sdk.Tensor{}}
}

// File is a tokenizer that was trained or imported before.
type File struct {
	Config
	Weights   *sdk.Weights
	Mean, Std []float64 // of the pixels that it reads, on the scale 0 to 1
}

// Open reads the description of a tokenizer file.
func Open(path string) (*File, error) {
	w, err := sdk.OpenWeights(path)
	if err != nil {
		return nil, err
	}
	if f := w.Meta["format"]; f != Format {
		return nil, fmt.Errorf("%s is no tokenizer: its format is %q, not %q (vittool tokenizer writes them)", path, f, Format)
	}
	t := &File{Weights: w}
	for key, v := range map[string]any{ConfigKey: &t.Config, "mean": &t.Mean, "std": &t.Std} {
		if err := json.Unmarshal([]byte(w.Meta[key]), v); err != nil {
			return nil, fmt.Errorf("%s: metadata %q: %w", path, key, err)
		}
	}
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(t.Mean) != t.Channels || len(t.Std) != t.Channels {
		return nil, fmt.Errorf("%s: %d means and %d deviations for %d channels", path, len(t.Mean), len(t.Std), t.Channels)
	}
	return t, nil
}

// Net starts the networks of the file, frozen, with parameters under prefix.
func (f *File) Net(b *sdk.Builder, prefix string) *Net {
	return &Net{Config: f.Config, b: b, file: f.Weights, prefix: prefix, done: map[string]sdk.Tensor{}}
}

// Metadata describes the tokenizer in a file; the host adds the rest.
func (c Config) Metadata(b *sdk.Builder) map[string]string {
	text, err := json.Marshal(c)
	if err != nil {
		b.Failf("tokenizer: %v", err)
	}
	return map[string]string{"format": Format, ConfigKey: string(text)}
}

// FileMetadata describes a tokenizer that was not trained here in its file.
func (c Config) FileMetadata(mean, std []float64) (map[string]string, error) {
	meta := map[string]string{"format": Format}
	for key, v := range map[string]any{ConfigKey: c, "mean": mean, "std": std} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		meta[key] = string(text)
	}
	return meta, nil
}

// param declares a tensor of the network, once.
func (n *Net) param(name string, shape []int, init *sdk.Init) sdk.Tensor {
	if t, ok := n.done[name]; ok {
		return t
	}
	if n.file == nil {
		p := n.b.Param(name, shape, init)
		n.Params = append(n.Params, p)
		n.done[name] = p.Tensor()
		return n.done[name]
	}
	if got := n.file.Shape(name); fmt.Sprint(got) != fmt.Sprint(shape) {
		n.b.Failf("%s: tensor %s is %v; the tokenizer that it describes has %v", n.file.Path, name, got, shape)
	}
	n.done[name] = n.b.Param(n.prefix+name, shape, n.file.Init(name), sdk.Frozen(), sdk.Decayed(false)).Tensor()
	return n.done[name]
}

// conv is a convolution of x, with in channels, to out channels by kernels of k×k, of stride 1; its
// weights start at He et al.'s scale for a network of ReLUs (2015), times gain.
func (n *Net) conv(name string, x sdk.Tensor, in, out, k int, gain float64) sdk.Tensor {
	return n.strided(name, x, in, out, k, 1, (k-1)/2, gain)
}

func (n *Net) strided(name string, x sdk.Tensor, in, out, k, stride, padding int, gain float64) sdk.Tensor {
	std := gain * math.Sqrt(2/float64(in*k*k))
	w := n.param(name+".weight", []int{out, in, k, k}, sdk.InitTruncNormal(std, 3*std))
	return n.b.Conv2D(x, w, n.param(name+".bias", []int{out}, sdk.InitZeros()), stride, padding)
}

// blocks are residual blocks: x + 1×1(relu(3×3(relu(x)))).
func (n *Net) blocks(name string, x sdk.Tensor) sdk.Tensor {
	for i := range n.Blocks {
		at := fmt.Sprintf("%s.blocks.%d", name, i)
		h := n.conv(at+".conv1", n.b.ReLU(x), n.Width, n.Width/2, 3, 1)
		h = n.conv(at+".conv2", n.b.ReLU(h), n.Width/2, n.Width, 1, .5)
		x = n.b.Add(x, h)
	}
	return n.b.ReLU(x)
}

// encode maps images [B,C,H,W] to [B,out,H/patch,W/patch].
func (n *Net) encode(x sdk.Tensor, out int) sdk.Tensor {
	kernel, padding := n.stem()
	x = n.strided("encoder.stem", x, n.Channels, n.Width, kernel, n.Patch, padding, 1)
	return n.conv("encoder.out", n.blocks("encoder", x), n.Width, out, 1, math.Sqrt(.5))
}

// Logits maps images to the logits of their tokens, [B,L,K], in raster order.
func (n *Net) Logits(images sdk.Tensor) sdk.Tensor {
	return n.b.MapTokens(n.maps(images), n.Vocabulary)
}

func (n *Net) maps(images sdk.Tensor) sdk.Tensor {
	if n.Kind == DALLE {
		return n.dalle(images)
	}
	return n.encode(images, n.Vocabulary)
}

// Vectors maps images to the vectors that a quantizer chooses codes for, [B,L,D].
func (n *Net) Vectors(images sdk.Tensor) sdk.Tensor {
	return n.b.MapTokens(n.encode(images, n.CodeDim), n.CodeDim)
}

// Codebook is the table of codes [K,D] as a parameter: that of a file, or dvae's.
func (n *Net) Codebook() sdk.Tensor {
	return n.param("codebook", []int{n.Vocabulary, n.CodeDim}, sdk.InitNormal(1))
}

// Tokens maps images to their tokens, integers [B,L].
func (n *Net) Tokens(images sdk.Tensor) sdk.Tensor {
	return n.TokensOf(images, func(x sdk.Tensor) sdk.Tensor { return x })
}

// TokensOf maps images to some of their tokens: pick chooses among vectors or logits, [B,L,D], and
// there are as many tokens as it leaves.
func (n *Net) TokensOf(images sdk.Tensor, pick func(x sdk.Tensor) sdk.Tensor) sdk.Tensor {
	if n.Kind == VQ {
		return n.b.NearestRow(pick(n.Vectors(images)), n.Codebook())
	}
	return n.b.ArgMax(pick(n.Logits(images)))
}

// Decodes reports whether the tokenizer can turn tokens back into pixels.
func (c Config) Decodes() bool { return c.Kind != DALLE }

// Decode maps codes [B*L,D] of a grid of rows×cols tokens to images [B,C,H,W].
func (n *Net) Decode(codes sdk.Tensor, rows, cols int) sdk.Tensor {
	x := n.b.TokenMap(n.b.Reshape(codes, -1, rows*cols, n.CodeDim), rows, cols)
	x = n.blocks("decoder", n.conv("decoder.in", x, n.CodeDim, n.Width, 3, math.Sqrt(.5)))
	pixels := n.Channels * n.Patch * n.Patch
	x = n.conv("decoder.out", x, n.Width, pixels, 1, .5)
	return n.b.Unpatchify(n.b.MapTokens(x, pixels), n.Patch, rows, cols, sdk.ChannelFirst)
}
