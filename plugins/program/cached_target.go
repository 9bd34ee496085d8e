package program

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/plugins/plan"
)

// TargetCache keeps the values of cached targets, which follow from the pixels of a view alone.
// They are integers, or the bits of floats.
type TargetCache interface {
	// Get copies the value under a key and reports whether there is one. Kind names the
	// computation: equal kinds and keys have equal values.
	Get(kind string, key [sha256.Size]byte, value []int32) bool
	// Put keeps a copy of a value.
	Put(kind string, key [sha256.Size]byte, value []int32)
}

// cachedTarget computes one target from the pixels of a view, in a graph of its own.
type cachedTarget struct {
	target *target
	kind   string     // see kindOf
	view   *core.Node // of that graph
	value  *core.Node
	exec   *core.Executable

	keys  [][sha256.Size]byte // of the samples
	bytes []byte              // scratch: the pixels of a sample
	bits  []int32             // scratch: the value of a sample
}

// addCachedTargets compiles the cached targets of a runner that trains; others compute them in
// place.
func (c *Compiler) addCachedTargets(m *Runner) error {
	for _, spec := range c.Plan.Targets {
		if spec.Source != plan.SourceCached || !c.Train {
			continue
		}
		r, err := c.newCachedTarget(spec)
		if err != nil {
			return fmt.Errorf("target %s: %w", spec.Name, err)
		}
		m.cached = append(m.cached, r)
	}
	return nil
}

func (c *Compiler) newCachedTarget(spec *plan.Target) (*cachedTarget, error) {
	// The same program in a graph that holds nothing but the value.
	part := &Compiler{
		setting: c.setting, g: core.NewGraph(c.device), store: c.store, inputs: newInputs(),
		params: c.params, specs: c.specs, nodes: map[string][]*core.Node{},
	}
	part.Train = false
	whole := c.view(spec.View)
	r := &cachedTarget{target: c.inputs.targets[spec.Name], view: part.g.Input("view."+spec.View, whole.Shape())}
	part.inputs.views[spec.View] = r.view
	var err error
	if r.value, err = part.resolve(spec.Value); err != nil {
		return nil, err
	}
	if want := r.target.node; !r.value.Shape().Equal(want.Shape()) || isInt(r.value) != isInt(want) {
		return nil, fmt.Errorf("its value is %v, integers: %v; declared is %v, integers: %v", r.value.Shape(), isInt(r.value), want.Shape(), isInt(want))
	}
	if r.exec, err = part.g.Compile(nil, r.value); err != nil {
		return nil, err
	}
	if r.kind, err = part.kindOf(spec); err != nil {
		return nil, err
	}
	r.keys = make([][sha256.Size]byte, c.Batch)
	r.bytes = make([]byte, 4*whole.Shape().Size()/c.Batch)
	r.bits = make([]int32, r.value.Shape().Size()/c.Batch)
	return r, nil
}

// kindOf is a digest of everything but the pixels that a value depends on: the part of the program
// that makes it, the files, the size of the view, and the kernels, whose last bits differ from
// level to level.
func (c *Compiler) kindOf(spec *plan.Target) (string, error) {
	nodes, params := []*plan.Node{}, []plan.Param{}
	read := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		nodes = append(nodes, c.specs[name])
		for _, in := range c.specs[name].Inputs {
			read[in.Ref.Name] = read[in.Ref.Name] || in.Ref.Of == plan.RefParam
		}
	}
	for _, p := range c.Plan.Params {
		if read[p.Name] {
			p, in := *p, *p.Init
			in.Path, p.Init = "", &in // the digest says which file it is, wherever it lies
			params = append(params, p)
		}
	}
	h := sha256.New()
	// The first number rises whenever a kernel or operator changes its last bits.
	fmt.Fprintf(h, "remembered 2, operators %d, kernels %s, view %v ", plan.OperatorVersion, c.device.Level(), c.inputs.views[spec.View].Shape()[1:])
	if err := json.NewEncoder(h).Encode([]any{spec, nodes, params}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fillCached fills a target that follows from the pixels of a view as they are now: from the cache
// where it has all samples, computed otherwise. The values are the same.
func (m *Runner) fillCached(r *cachedTarget, cache TargetCache) error {
	pixels := m.inputs.views[r.target.spec.View].Value()
	size, width := len(pixels)/m.Batch, len(r.bits)
	found := cache != nil
	for i := 0; cache != nil && i < m.Batch; i++ {
		if _, err := binary.Encode(r.bytes, binary.LittleEndian, pixels[i*size:][:size]); err != nil {
			return err
		}
		r.keys[i] = sha256.Sum256(r.bytes)
		if found = found && cache.Get(r.kind, r.keys[i], r.bits); found {
			writeBits(r.target.node, i*width, r.bits)
		}
	}
	if found {
		return nil
	}
	copy(r.view.Value(), pixels)
	if err := r.exec.Run(); err != nil {
		return err
	}
	for i := range m.Batch {
		readBits(r.value, i*width, r.bits)
		writeBits(r.target.node, i*width, r.bits)
		if cache != nil {
			cache.Put(r.kind, r.keys[i], r.bits)
		}
	}
	return nil
}

func writeBits(n *core.Node, at int, bits []int32) {
	if isInt(n) {
		copy(n.Ints()[at:], bits)
		return
	}
	for i, v := range bits {
		n.Value()[at+i] = math.Float32frombits(uint32(v))
	}
}

func readBits(n *core.Node, at int, bits []int32) {
	if isInt(n) {
		copy(bits, n.Ints()[at:])
		return
	}
	for i := range bits {
		bits[i] = int32(math.Float32bits(n.Value()[at+i]))
	}
}
