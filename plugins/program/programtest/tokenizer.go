package programtest

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/device/devicetest"
	"github.com/vittool/vittool/core/optim"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/objectives/tokenizer"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
	"github.com/vittool/vittool/vit"
)

// Tokenizer writes the file of a visual tokenizer for images normalized with mean and std, one
// number per channel.
func Tokenizer(t *testing.T, tensors []tensor.Tensor, c tokenizer.Config, mean, std []float64) string {
	t.Helper()
	meta := must.Get(c.FileMetadata(mean, std))(t)
	path := filepath.Join(t.TempDir(), "tokenizer.safetensors")
	must.Do(t, tensor.WriteSafetensors(path, tensors, meta))
	return path
}

// LearnsTokens: a tokenizer of the objective learns a few images, uses several tokens for them, and has
// the same error after its training when it is read from its file. more are further options.
func LearnsTokens(t *testing.T, o sdk.Objective, more map[string]any) {
	t.Helper()
	const steps = 250
	options := map[string]any{"vocabulary": 16, "width": 16, "blocks": 1, "code_dim": 8}
	maps.Copy(options, more)
	l := learn(t, o, options, steps)
	if !(l.last < l.first/8) {
		t.Errorf("the error is %.4f after %d steps, %.4f before", l.last, steps, l.first)
	}
	tokens, mse := l.decode(t, l.export(t))
	used := map[int32]bool{}
	for _, k := range tokens {
		used[k] = true
	}
	if len(used) < 5 {
		t.Errorf("%d tokens are used for 12 kinds of patches", len(used))
	}
	if !(mse < l.first/6) {
		t.Errorf("from its file the tokenizer has an error of %.4f; at the end of its training it was %.4f, at the start %.4f", mse, l.last, l.first)
	}
}

// roundTrip is an objective that decodes the tokens of a tokenizer file.
type roundTrip struct {
	Tokenizer string `option:"tokenizer" help:"file"`
}

func (r *roundTrip) Info() sdk.Info { return sdk.Info{Name: "roundtrip", Version: "1.0.0"} }

func (r *roundTrip) Plan(b *sdk.Builder) error {
	b.Require(sdk.Requirements{Unused: true})
	file, err := tokenizer.Open(r.Tokenizer)
	if err != nil {
		return err
	}
	image := b.View("image")
	net := file.Net(b, "tokenizer.")
	rows, cols := net.Grid(image)
	decoded := net.Decode(b.GatherRows(net.Codebook(), b.Reshape(net.Tokens(image.Pixels()), -1)), rows, cols)
	gap := b.Add(decoded, b.Scale(image.Pixels(), -1))
	return b.Minimize(b.Mean(b.Mul(gap, gap)))
}

// stripes are images of 8×8 pixels whose four patches are of few kinds.
func stripes(pixels []float32) {
	kinds := [][3]float32{{1, 1, 1}, {-1, -1, -1}, {1, -1, 0}, {-1, 1, 1}, {0, 0, 1}, {1, 0, -1}}
	for i := range pixels {
		sample, ch, y, x := i/192, i/64%3, i/8%8, i%8
		kind := kinds[(sample*3+y/4*2+x/4)%len(kinds)]
		pixels[i] = kind[ch]
		if sample%2 == 1 && y%2 == 1 {
			pixels[i] *= .5
		}
	}
}

// learning is the training of a tokenizer on stripes.
type learning struct {
	network     vit.Config
	plan        *plan.Plan
	store       *param.Store
	first, last float64 // mean squared error of the first and the last step
}

const learningBatch = 8

// learningIDs are those of the samples.
var learningIDs = []uint64{0, 1, 2, 3, 4, 5, 6, 7}

// learn trains a tokenizer for some steps.
func learn(t *testing.T, o sdk.Objective, options map[string]any, steps int) *learning {
	t.Helper()
	l := &learning{
		network: vit.Config{Name: "none", ImageH: 8, ImageW: 8, Patch: 4, Dim: 8, Depth: 1, Heads: 1, ClassToken: true}.Normalized(),
		store:   param.NewStore(),
	}
	l.plan = Opening{Objective: o, Options: options, Network: l.network, Batch: learningBatch}.Plan(t)
	for _, s := range l.plan.Schedules { // the plan was opened for a run of ten steps
		s.StepsPerValue = max(1, float64(steps/256))
	}
	e := devicetest.New(t, 0)
	m := must.Get(program.Build(e, l.store, l.plan, l.network, learningBatch, 1, program.Options{Plugin: o.Info().Name, Train: true, TotalSteps: uint64(steps)}))(t)
	stripes(m.View("image"))
	optimizer := optim.NewAdamW(e, optim.AdamWOptions{Beta1: .9, Beta2: .99, Eps: 1e-8})
	for step := range steps {
		in := program.Inputs{Step: uint64(step), IDs: learningIDs}
		for _, mask := range l.plan.Masks {
			fresh := make([]int32, learningBatch*mask.Length)
			for i := range fresh {
				fresh[i] = int32((i + step) % 4)
			}
			in.Masks = append(in.Masks, plan.MaskSet{Name: mask.Name, Values: fresh})
		}
		Step(t, m, in)
		if l.last = m.Metrics()["mse"]; step == 0 {
			l.first = l.last
		}
		optimizer.Step(m.Exec().Parameters(), m.Exec().Grad, optim.Rate{Now: 3e-3}, 0)
		must.Do(t, m.Commit())
	}
	return l
}

// export writes the tokenizer as the host does.
func (l *learning) export(t *testing.T) string {
	t.Helper()
	x := l.plan.Exports[0]
	var tensors []tensor.Tensor
	for prefix, names := range map[string][]string{runs.HeadPrefix: x.Params, runs.BufferPrefix: x.Buffers} {
		for _, n := range names {
			p := l.store.Get(prefix + n)
			tensors = append(tensors, tensor.NewF32(n, p.Shape, p.Data))
		}
	}
	var c tokenizer.Config
	must.Do(t, json.Unmarshal([]byte(x.Metadata[tokenizer.ConfigKey]), &c))
	return Tokenizer(t, tensors, c, make([]float64, 3), slices.Repeat([]float64{1}, 3))
}

// decode returns the tokens of the images, and the mean squared error of the images decoded from
// them, by the file of a tokenizer.
func (l *learning) decode(t *testing.T, path string) (tokens []int32, mse float64) {
	t.Helper()
	var node *core.Node
	p := Opening{Objective: &roundTrip{}, Options: map[string]any{"tokenizer": path}, Network: l.network, Batch: learningBatch}.Plan(t)
	m, err := program.Build(devicetest.New(t, 0), param.NewStore(), p, l.network, learningBatch, 1, program.Options{Plugin: "roundtrip", Extra: func(m *program.Compiler) ([]*core.Node, error) {
		for _, n := range p.Nodes {
			if n.Op == "nearest_row" || n.Op == "arg_max" {
				made, err := m.Outputs(n.Name)
				node = made[0]
				return made, err
			}
		}
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	stripes(m.View("image"))
	Step(t, m, program.Inputs{IDs: learningIDs})
	return node.Ints(), m.Loss()
}
