package plan

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/vittool/vittool/internal/edit"
)

const (
	maxParts        = 5000    // views, passes, params, nodes ... each: the graph's compile time is quadratic
	maxPixels       = 1 << 14 // of a side of a view
	maxLength       = 1 << 24 // of a mask
	maxRectangles   = 1 << 16 // of a corruption
	maxRing         = 1 << 24 // rows of a ring: its position is a 32-bit float
	maxLinearBlocks = 1024    // more than any network has
)

// check refuses a plan that contradicts itself or the backbone.
func check(p *Plan, backbone Backbone) error {
	c := &checker{Plan: p, backbone: backbone, names: map[string]map[string]bool{}}
	for _, part := range []func() error{
		c.network, c.views, c.masks, c.schedules, c.params, c.buffers, c.targets, c.passes, c.nodes,
		c.results, c.cycles, c.exports, c.recommended, c.evaluate,
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// checker collects the names of a plan while it goes through it.
type checker struct {
	*Plan
	backbone Backbone
	names    map[string]map[string]bool // by kind
}

// declare notes a name, which is the only one of its kind.
func (c *checker) declare(kind, name string) error {
	if name == "" {
		return fmt.Errorf("field %ss: one has no name; names are not empty", kind)
	}
	if c.names[kind] == nil {
		c.names[kind] = map[string]bool{}
	}
	if c.names[kind][name] {
		return fmt.Errorf("field %ss: two are named %q; give one another name", kind, name)
	}
	if len(c.names[kind]) >= maxParts {
		return fmt.Errorf("field %ss: there are more than %d; declare fewer", kind, maxParts)
	}
	c.names[kind][name] = true
	return nil
}

// require refuses a name that no part of the kind has; user is the place that names it.
func (c *checker) require(kind, name, user string) error {
	if !c.names[kind][name] {
		return fmt.Errorf("%s names the %s %q, which the plan does not have; declare it first", user, kind, name)
	}
	return nil
}

// requireAll is require for a list of names.
func (c *checker) requireAll(kind string, names []string, user string) error {
	for _, n := range names {
		if err := c.require(kind, n, user); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) network() error {
	r := c.Requirements
	if err := r.CheckFamily(c.backbone); err != nil {
		return err
	}
	if r.Unused && (len(c.Passes) > 0 || c.Teacher != nil) {
		return fmt.Errorf("field backbone.unused is set, and the plan has passes or a teacher; leave one out")
	}
	if r.DropPath < 0 || r.DropPath >= 1 {
		return fmt.Errorf("field backbone.drop_path is %v, valid is 0 <= x < 1", r.DropPath)
	}
	for field, patterns := range map[string][]string{"no_decay": r.NoDecay, "frozen": r.Frozen} {
		for _, p := range patterns {
			if _, err := path.Match(p, ""); err != nil {
				return fmt.Errorf("field backbone.%s: pattern %q: %w", field, p, err)
			}
		}
	}
	for i, rule := range r.Init {
		if _, err := path.Match(rule.Weights, ""); err != nil {
			return fmt.Errorf("field backbone.init_rules[%d]: pattern %q: %w", i, rule.Weights, err)
		}
		if !rule.Init.Kind.drawn() {
			return fmt.Errorf("field backbone.init_rules[%d]: init.kind is %v, which no backbone's weights start from; use one that is drawn", i, rule.Init.Kind)
		}
	}
	return nil
}

// FamilyViT is the family of Vision Transformers.
const FamilyViT = "vit"

// CheckFamily refuses a backbone of a family that the requirements exclude.
func (r Requirements) CheckFamily(b Backbone) error {
	if len(r.Families) > 0 && !slices.Contains(r.Families, b.Family) {
		return fmt.Errorf("the backbone %s is of the family %q, and the objective works with %v; choose a model of one of these families", b.Name, b.Family, r.Families)
	}
	return nil
}

// drawn reports whether the values follow from the shape and some numbers.
func (k InitKind) drawn() bool {
	switch k {
	case InitZeros, InitOnes, InitConstant, InitNormal, InitTruncNormal, InitUniform, InitXavierUniform, InitFanInUniform:
		return true
	}
	return false
}

func (c *checker) views() error {
	if len(c.Views) == 0 {
		return fmt.Errorf("field views is empty; declare at least one")
	}
	for _, v := range c.Views {
		if v.SameGeometryAs != "" {
			if err := c.require("view", v.SameGeometryAs, fmt.Sprintf("view %q (same_geometry_as; the other one comes first)", v.Name)); err != nil {
				return err
			}
		}
		if err := c.declare("view", v.Name); err != nil {
			return err
		}
		if err := c.view(v); err != nil {
			return fmt.Errorf("view %q: %w", v.Name, err)
		}
	}
	return nil
}

func (c *checker) masks() error {
	for _, m := range c.Masks {
		if err := c.declare("mask", m.Name); err != nil {
			return err
		}
		if err := c.require("view", m.View, fmt.Sprintf("mask %q", m.Name)); err != nil {
			return err
		}
		if m.Kind == MaskKeep {
			if rows, cols := c.grid(m.View); m.Rows != rows || m.Cols != cols {
				return fmt.Errorf("mask %q has %d×%d cells, the view %q has %d×%d patches", m.Name, m.Rows, m.Cols, m.View, rows, cols)
			}
		}
		if err := m.check(); err != nil {
			return fmt.Errorf("mask %q: %w", m.Name, err)
		}
	}
	return nil
}

// grid is the patch grid of a view.
func (c *checker) grid(view string) (rows, cols int) {
	v, p := c.View(view), max(1, c.backbone.Patch)
	return v.Height / p, v.Width / p
}

func (m *Mask) check() error {
	between := func(least, most int) error {
		return edit.Between(float64(least), float64(most)).Check("field length", float64(m.Length))
	}
	if (m.Rows == 0) != (m.Cols == 0) || m.Rows > maxPixels || m.Cols > maxPixels {
		return fmt.Errorf("fields rows and cols are %d and %d; valid are 1..%d, or 0 for both", m.Rows, m.Cols, maxPixels)
	}
	switch m.Kind {
	case MaskKeep:
		return between(1, m.Rows*m.Cols)
	case MaskBitmap:
		return between(0, maxLength)
	case MaskIndices:
		if err := edit.Between(1, math.MaxInt32).Check("field limit", float64(m.Limit)); err != nil {
			return err
		}
		return between(1, maxLength)
	case MaskCorruption:
		return between(1, maxRectangles)
	}
	return fmt.Errorf("field kind is %v; valid are %v, %v, %v and %v", m.Kind, MaskKeep, MaskBitmap, MaskIndices, MaskCorruption)
}

func (c *checker) schedules() error {
	for _, s := range c.Schedules {
		if err := c.declare("schedule", s.Name); err != nil {
			return err
		}
		if s.Kind == ScheduleTable && len(s.Values) == 0 {
			return fmt.Errorf("schedule %q: field values is empty; a table has one value or more", s.Name)
		}
		if !(s.StepsPerValue >= 0 && s.StepsPerValue <= math.MaxInt64) {
			return fmt.Errorf("schedule %q: field value_steps is %g; valid is 0 and more", s.Name, s.StepsPerValue)
		}
	}
	if t := c.Teacher; t != nil {
		return c.require("schedule", t.Momentum, "the teacher (momentum)")
	}
	return nil
}

func (c *checker) params() error {
	for _, p := range c.Params {
		if err := c.declare("param", p.Name); err != nil {
			return err
		}
		if err := p.Init.check(p.Shape); err != nil {
			return fmt.Errorf("param %q: %w", p.Name, err)
		}
		if p.LRScale < 0 {
			return fmt.Errorf("param %q: field lr_scale is %v; valid is 0 and more", p.Name, p.LRScale)
		}
		if p.TeacherCopy && c.Teacher == nil {
			return fmt.Errorf("param %q: field teacher_copy is set, and the plan has no teacher; declare one, or leave it out", p.Name)
		}
	}
	return nil
}

func (i *Init) check(shape []int) error {
	n := 1
	for _, d := range shape {
		n *= d
	}
	switch i.Kind {
	case InitSinCosColumn, InitSinCosRow:
		if len(shape) != 3 || shape[0] != 1 || i.Rows < 1 || i.Cols < 1 || shape[1] != i.Prefix+i.Rows*i.Cols || shape[2]%4 != 0 {
			return fmt.Errorf("a sine-cosine table of %d+%d×%d rows has the shape [1, %d, a multiple of 4], not %v",
				i.Prefix, i.Rows, i.Cols, i.Prefix+i.Rows*i.Cols, shape)
		}
	case InitFile:
		if i.Path == "" || i.Tensor == "" || i.Digest == "" {
			return fmt.Errorf("field init: path, tensor or digest is missing; values of a file need all three")
		}
	case InitData:
		if len(i.Values) != n {
			return fmt.Errorf("field init.values has %d initial values; the shape %v takes %d", len(i.Values), shape, n)
		}
	case InitConstant:
	default:
		if i.A < 0 {
			return fmt.Errorf("field init.a is %v; valid is 0 and more", i.A)
		}
	}
	return nil
}

func (c *checker) buffers() error {
	for _, b := range c.Buffers {
		if err := c.declare("buffer", b.Name); err != nil {
			return err
		}
		if err := b.Init.check(b.Shape); err != nil {
			return fmt.Errorf("buffer %q: %w", b.Name, err)
		}
		if b.Update != UpdateReplace && len(b.Shape) == 0 {
			return fmt.Errorf("buffer %q: field update is %v, and the buffer is a single number; use %v", b.Name, b.Update, UpdateReplace)
		}
		if b.Update == UpdateRing && b.Shape[0] >= maxRing {
			return fmt.Errorf("buffer %q is a ring of %d rows; use fewer than 2^24", b.Name, b.Shape[0])
		}
	}
	return nil
}

func (c *checker) targets() error {
	for _, t := range c.Targets {
		if err := c.declare("target", t.Name); err != nil {
			return err
		}
		owner := fmt.Sprintf("target %q", t.Name)
		switch t.Source {
		case SourceSampleID, SourceLabel:
			continue
		case SourceGeometry:
		case SourcePlugin, SourceCached:
			if t.DType == U8 {
				return fmt.Errorf("%s has elements of type %v; use 32-bit floats or integers", owner, t.DType)
			}
			if t.Source == SourceCached && t.Value.Of == RefNone {
				return fmt.Errorf("%s: field value is missing; a cached target is computed from it", owner)
			}
		default:
			return fmt.Errorf("%s: field source is missing; name the origin of its values", owner)
		}
		if err := c.require("view", t.View, owner); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) exports() error {
	for _, e := range c.Exports {
		if err := c.declare("export", e.Name); err != nil {
			return err
		}
		owner := fmt.Sprintf("export %q", e.Name)
		if strings.ContainsAny(e.Name, "/\\\x00") {
			return fmt.Errorf("%s: its name holds a slash or a zero byte; use another", owner)
		}
		tensors := map[string]bool{}
		for kind, names := range map[string][]string{"param": e.Params, "buffer": e.Buffers} {
			if err := c.requireAll(kind, names, owner); err != nil {
				return err
			}
			for _, n := range names {
				if tensors[n] {
					return fmt.Errorf("%s holds two tensors named %q; give one another name", owner, n)
				}
				tensors[n] = true
			}
		}
		if len(tensors) == 0 {
			return fmt.Errorf("%s names no param and no buffer; name at least one", owner)
		}
	}
	return nil
}

func (c *checker) recommended() error {
	r := c.Recommended
	if r == nil {
		return nil
	}
	if r.Network == NetworkTeacher && c.Teacher == nil {
		return fmt.Errorf("field recommended.network is the teacher, and the plan has none; declare one, or recommend the student")
	}
	if r.LinearBlocks > maxLinearBlocks {
		return fmt.Errorf("field recommended.linear_blocks is %d; valid are 0..%d", r.LinearBlocks, maxLinearBlocks)
	}
	both := []Feature{FeatureClass, FeaturePooled}
	if len(r.Features) == 0 || slices.Equal(r.Features, both) || len(r.Features) == 1 && slices.Contains(both, r.Features[0]) {
		return nil
	}
	return fmt.Errorf("field recommended.features is %v; valid are %v, %v, or both in this order", r.Features, both[0], both[1])
}
