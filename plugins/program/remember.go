package program

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/plugins/pb"
	"google.golang.org/protobuf/proto"
)

// Memory keeps what follows from the content of a view alone. Values are integers, or the bits of floats.
type Memory interface {
	// Get copies to value what is kept under a key and reports whether there is anything. Kind names the computation:
	// equal kinds and keys have equal values.
	Get(kind string, key [sha256.Size]byte, value []int32) bool
	// Put keeps a copy of value.
	Put(kind string, key [sha256.Size]byte, value []int32)
}

// remembered computes one target from the pixels of a view, in a graph of its own.
type remembered struct {
	target *target
	kind   string
	view   *core.Node // of that graph
	value  *core.Node
	exec   *core.Executable

	keys  [][sha256.Size]byte // of the samples
	bytes []byte              // scratch: the pixels of a sample
	bits  []int32             // scratch: the value of a sample
}

// addRemembered compiles the remembered targets of a model that trains; others compute them in place.
func (m *Model) addRemembered() error {
	for _, spec := range m.Plan.GetTargets() {
		if spec.GetSource() != pb.TargetSpec_SOURCE_REMEMBERED || !m.Train {
			continue
		}
		r, err := m.newRemembered(spec)
		if err != nil {
			return fmt.Errorf("target %s is remembered, so it may read the view %s and parameters from files only: %w", spec.GetName(), spec.GetView(), err)
		}
		m.remembered = append(m.remembered, r)
	}
	m.recalled = len(m.remembered) == 0
	return nil
}

func (m *Model) newRemembered(spec *pb.TargetSpec) (*remembered, error) {
	// The same program, in which nothing else exists.
	part := &Model{
		Plan: m.Plan, Batch: m.Batch, Config: m.Config, Student: m.Student,
		plugin: m.plugin, seed: m.seed, total: m.total, engine: m.engine, g: core.NewGraph(m.engine), store: m.store,
		views: map[string]*core.Node{}, params: map[string]*param.Parameter{}, specs: m.specs, nodes: map[string][]*core.Node{},
	}
	whole := m.views[spec.GetView()]
	if whole == nil {
		return nil, fmt.Errorf("the plan has no view %q", spec.GetView())
	}
	part.views[spec.GetView()] = part.g.Input("view."+spec.GetView(), whole.Shape())
	for _, p := range m.Plan.GetParams() {
		if p.GetFrozen() && p.GetInit().GetKind() == pb.Init_KIND_FILE {
			part.params[p.GetName()] = m.params[p.GetName()]
		}
	}
	r := &remembered{target: m.targets[spec.GetName()], view: part.views[spec.GetView()]}
	var err error
	if r.value, err = part.resolve(spec.GetValue()); err != nil {
		return nil, err
	}
	if len(part.randoms) > 0 {
		return nil, errors.New("it draws random numbers")
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
	r.keys = make([][sha256.Size]byte, m.Batch)
	r.bytes = make([]byte, 4*whole.Shape().Size()/m.Batch)
	r.bits = make([]int32, r.value.Shape().Size()/m.Batch)
	return r, nil
}

// kindOf is a digest of everything but the pixels that a value depends on: the part of the program that makes it, the
// files, the size of the view, and the kernels, whose last bits differ from level to level.
func (m *Model) kindOf(spec *pb.TargetSpec) (string, error) {
	h := sha256.New()
	add := func(x proto.Message) error {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(x)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%d ", len(b))
		h.Write(b)
		return nil
	}
	// The first number rises whenever a kernel or operator changes its last bits.
	fmt.Fprintf(h, "remembered 1, operators %d, kernels %s, view %v ", OperatorVersion, m.engine.Level(), m.views[spec.GetView()].Shape()[1:])
	if err := add(spec); err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(m.nodes)) {
		if err := add(m.specs[name]); err != nil {
			return "", err
		}
	}
	for _, p := range m.Plan.GetParams() {
		if m.params[p.GetName()] == nil {
			continue
		}
		p = proto.CloneOf(p)
		p.Init.Path = "" // the digest says which file it is, wherever it lies
		if err := add(p); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Remember fills the targets that follow from the pixels of the views as they are now: from memory where all samples
// are known to it, computed otherwise. Without a memory they are computed. The values are the same.
func (m *Model) Remember(memory Memory) error {
	for _, r := range m.remembered {
		if err := m.recall(r, memory); err != nil {
			return fmt.Errorf("plugin %s: target %s: %w", m.plugin, r.target.spec.GetName(), err)
		}
	}
	m.recalled = true
	return nil
}

func (m *Model) recall(r *remembered, memory Memory) error {
	pixels := m.views[r.target.spec.GetView()].Value()
	size, width := len(pixels)/m.Batch, len(r.bits)
	known := memory != nil
	for i := 0; memory != nil && i < m.Batch; i++ {
		if _, err := binary.Encode(r.bytes, binary.LittleEndian, pixels[i*size:][:size]); err != nil {
			return err
		}
		r.keys[i] = sha256.Sum256(r.bytes)
		if known = known && memory.Get(r.kind, r.keys[i], r.bits); known {
			writeBits(r.target.node, i*width, r.bits)
		}
	}
	if known {
		return nil
	}
	copy(r.view.Value(), pixels)
	if err := r.exec.Run(); err != nil {
		return err
	}
	for i := range m.Batch {
		readBits(r.value, i*width, r.bits)
		writeBits(r.target.node, i*width, r.bits)
		if memory != nil {
			memory.Put(r.kind, r.keys[i], r.bits)
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
