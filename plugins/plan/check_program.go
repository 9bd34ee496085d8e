package plan

import (
	"fmt"
	"slices"

	"github.com/vittool/vittool/internal/edit"
	"github.com/vittool/vittool/plugins/pb"
)

func (c *checker) passes() error {
	for _, p := range c.Passes {
		if err := c.declare("pass", p.Name); err != nil {
			return err
		}
		for _, rule := range []func(*Pass) error{c.passParts, c.passViews, c.passNetwork, c.passMasks} {
			if err := rule(p); err != nil {
				return fmt.Errorf("pass %q %w", p.Name, err)
			}
		}
	}
	return nil
}

// LackError is a part that a plan needs and the network of the run does not have.
type LackError struct {
	Part    string // "masks patches", "reads tokens": the need as a verb phrase
	Network string
	Family  string
}

func (e *LackError) Error() string {
	return fmt.Sprintf("%s, and the backbone %s, a %q, has maps of whole images in place of tokens: take a model of another family", e.Part, e.Network, e.Family)
}

// passParts refuses tokens of a network that has none.
func (c *checker) passParts(p *Pass) error {
	if c.backbone.Tokens() {
		return nil
	}
	lacks := func(part string) error { return &LackError{part, c.backbone.Name, c.backbone.Family} }
	if p.MaskUse == MaskUseDrop || p.MaskUse == MaskUseToken {
		return lacks("masks patches")
	}
	for _, f := range p.Outputs {
		if f == FeatureTokens || f == FeatureClass || f == FeaturePatchTokens {
			return lacks(fmt.Sprintf("reads the feature %v", f))
		}
	}
	return nil
}

func (c *checker) passViews(p *Pass) error {
	if len(p.Views) == 0 {
		return fmt.Errorf("has no view; name at least one")
	}
	for _, name := range p.Views {
		if err := c.require("view", name, "(views)"); err != nil {
			return err
		}
		first, v := c.View(p.Views[0]), c.View(name)
		if n := c.backbone.Patch; c.backbone.Tokens() && n > 0 && (v.Height%n != 0 || v.Width%n != 0) {
			return fmt.Errorf("reads view %q of %d×%d pixels, no multiple of the patch size %d; choose a height and a width that the patch size divides", name, v.Height, v.Width, n)
		}
		if v.Height != first.Height || v.Width != first.Width {
			return fmt.Errorf("joins views of %d×%d and %d×%d pixels; views of one pass are of equal size", first.Height, first.Width, v.Height, v.Width)
		}
	}
	return nil
}

func (c *checker) passNetwork(p *Pass) error {
	if p.SubBatches > 1 && (len(p.Views) > 1 || p.MaskUse != MaskUseNone) {
		return fmt.Errorf("(sub_batches) has %d sub-batches and %d views: want one view without masks", p.SubBatches, len(p.Views))
	}
	if p.Network == NetworkTeacher && c.Teacher == nil {
		return fmt.Errorf("runs the teacher, and the plan has none; declare one")
	}
	for _, t := range p.Taps {
		if err := c.backbone.checkTap(t); err != nil {
			return fmt.Errorf("(taps): %w", err)
		}
	}
	if p.MaskUse != MaskUseToken {
		return nil
	}
	if err := c.require("param", p.MaskToken, "(mask_token)"); err != nil {
		return err
	}
	if p.Network == NetworkTeacher && !c.Param(p.MaskToken).TeacherCopy {
		return fmt.Errorf("runs the teacher, and its mask token %q has no teacher's copy; set its field teacher_copy", p.MaskToken)
	}
	return nil
}

func (c *checker) passMasks(p *Pass) error {
	if p.MaskUse != MaskUseDrop && p.MaskUse != MaskUseToken {
		return nil
	}
	if len(p.Masks) != len(p.Views) {
		return fmt.Errorf("has %d masks for %d views; give one for each view", len(p.Masks), len(p.Views))
	}
	for i, name := range p.Masks {
		if err := c.require("mask", name, "(masks)"); err != nil {
			return err
		}
		first, m := c.Mask(p.Masks[0]), c.Mask(name)
		if m.Kind != MaskKeep && !(m.Kind == MaskBitmap && p.MaskUse == MaskUseToken) {
			return fmt.Errorf("is masked by the %v %q: want a keep list, or a bitmap for a mask token", m.Kind, name)
		}
		if m.View != p.Views[i] {
			return fmt.Errorf("is masked by %q of the view %q, and reads %q", name, m.View, p.Views[i])
		}
		if rows, cols := c.grid(m.View); m.Rows != rows || m.Cols != cols {
			return fmt.Errorf("is masked by %q of %d×%d cells, the view has %d×%d patches", name, m.Rows, m.Cols, rows, cols)
		}
		if m.Length != first.Length {
			return fmt.Errorf("is masked by %q and %q, which leave different numbers of patches visible", first.Name, name)
		}
	}
	return nil
}

func (n *Node) String() string { return fmt.Sprintf("node %q (%s)", n.Name, n.Op) }

func (c *checker) nodes() error {
	evaluations := 0
	changed := map[string]string{} // buffer -> node whose operator changes it
	for _, n := range c.Nodes {
		if err := Lookup(n.Op).check(n); err != nil {
			return fmt.Errorf("%v: %w", n, err)
		}
		if view, views := n.Attributes["view"], n.Attributes["views"]; n.Op == pb.OpViewRows && view.(int) >= views.(int) {
			return fmt.Errorf("%v: attribute view = %v of %v views: %s; valid is 0 to views-1", n, view, views, edit.OutOfRange)
		}
		for _, a := range n.Inputs {
			if err := c.input(n, a, changed); err != nil {
				return err
			}
		}
		if err := c.declare("node", n.Name); err != nil {
			return err
		}
		if n.Op == OpEvaluate {
			evaluations++
		}
	}
	for _, u := range c.Results.Updates {
		if by := changed[u.Buffer]; by != "" {
			return fmt.Errorf("update of %q: the node %q changes it already; leave one of the two out", u.Buffer, by)
		}
	}
	if want := c.Evaluate != nil; want && evaluations != 1 || !want && evaluations != 0 {
		return fmt.Errorf("the plan has %d nodes %q and evaluate is set: %v; it needs one of each or neither", evaluations, OpEvaluate, want)
	}
	return c.cachedTargets()
}

// input checks the value that an input of a node reads, and notes the buffers that operators
// change.
func (c *checker) input(n *Node, a Argument, changed map[string]string) error {
	user := fmt.Sprintf("%v, input %q", n, a.Name)
	if err := c.ref(a.Ref, user); err != nil {
		return err
	}
	if n.Op == pb.OpCorrupt && a.Name == "mask" && (a.Ref.Of != RefMask || c.Mask(a.Ref.Name).Kind != MaskCorruption || a.Ref.Form != FormValues) {
		return fmt.Errorf("%s reads no corruption; give it the values of a mask of that kind", user)
	}
	if err := c.element(n, a, user); err != nil {
		return err
	}
	if in := Lookup(n.Op).Input(a.Name); in == nil || !in.Buffer {
		return nil
	}
	if a.Ref.Of != RefBuffer {
		return fmt.Errorf("%s takes a buffer of the plan, and is given another value; name a buffer", user)
	}
	if u := c.Buffer(a.Ref.Name).Update; u != UpdateReplace {
		return fmt.Errorf("%s: the buffer %q is updated by %v; use %v", user, a.Ref.Name, u, UpdateReplace)
	}
	changed[a.Ref.Name] = n.Name
	return nil
}

// element refuses integers for numbers and the reverse, where the kind of the reference decides it:
// of all but the results of nodes.
func (c *checker) element(n *Node, a Argument, user string) error {
	in := Lookup(n.Op).Input(a.Name)
	if in == nil || in.Either || a.Ref.Of == RefNode {
		return nil
	}
	if integers := c.integers(a.Ref); integers != in.Int {
		words := map[bool]string{false: "numbers", true: "integers"}
		return fmt.Errorf("%s takes %s and reads %s, the %v %q; name another value", user, words[in.Int], words[integers], a.Ref.Of, a.Ref.Name)
	}
	return nil
}

// integers reports whether a value that is not a node's is of integers.
func (c *checker) integers(r Ref) bool {
	switch r.Of {
	case RefMask:
		return r.Form == FormValues || r.Form == FormMaskedCells
	case RefTarget:
		t := c.Target(r.Name)
		return t.Source == SourceSampleID || t.Source == SourceLabel || t.Source != SourceGeometry && t.DType == I32
	}
	return false
}

// cachedTargets checks the values of targets that are computed once for each content of a view.
func (c *checker) cachedTargets() error {
	for _, t := range c.Targets {
		if t.Source != SourceCached {
			continue
		}
		if err := c.ref(t.Value, fmt.Sprintf("target %q", t.Name)); err != nil {
			return err
		}
		if err := c.checkPixelsOnly(t, t.Value, map[string]bool{}); err != nil {
			return fmt.Errorf("target %q is cached, so it may read the view %q and frozen parameters from files only: %w", t.Name, t.View, err)
		}
	}
	return nil
}

// checkPixelsOnly refuses a value that depends on anything but the pixels of the target's view and
// files.
func (c *checker) checkPixelsOnly(t *Target, r Ref, seen map[string]bool) error {
	switch r.Of {
	case RefNode:
		if seen[r.Name] {
			return nil
		}
		seen[r.Name] = true
		n := named(c.Nodes, r.Name)
		if n.Op == pb.OpRandom {
			return fmt.Errorf("%v draws random numbers", n)
		}
		for _, a := range n.Inputs {
			if err := c.checkPixelsOnly(t, a.Ref, seen); err != nil {
				return err
			}
		}
		return nil
	case RefView:
		if r.Name == t.View {
			return nil
		}
	case RefParam:
		if p := c.Param(r.Name); p.Frozen && p.Init.Kind == InitFile {
			return nil
		}
	}
	return fmt.Errorf("it reads the %v %q", r.Of, r.Name)
}

// ref checks that a reference names something that exists (for nodes: earlier).
func (c *checker) ref(r Ref, user string) error {
	switch r.Of {
	case RefNode:
		if err := c.require("node", r.Name, user); err != nil {
			return err
		}
		if n := named(c.Nodes, r.Name); r.Output >= len(Lookup(n.Op).Outputs) {
			return fmt.Errorf("%s reads output %d of the %v, which has %d", user, r.Output, n, len(Lookup(n.Op).Outputs))
		}
		return nil
	case RefFeature:
		return c.feature(r, user)
	case RefParam:
		return c.require("param", r.Name, user)
	case RefTeacherParam:
		if p := c.Param(r.Name); p == nil || !p.TeacherCopy {
			return fmt.Errorf("%s reads the teacher's copy of %q, which the plan does not have; set the field teacher_copy of the param", user, r.Name)
		}
		return nil
	case RefBuffer:
		return c.require("buffer", r.Name, user)
	case RefTarget:
		return c.require("target", r.Name, user)
	case RefMask:
		if err := c.require("mask", r.Name, user); err != nil {
			return err
		}
		if m := c.Mask(r.Name); !m.Has(r.Form) {
			return fmt.Errorf("%s reads the mask %q as %v, which a %v of length %d is not", user, r.Name, r.Form, m.Kind, m.Length)
		}
		return nil
	case RefView:
		return c.require("view", r.Name, user)
	case RefScalar:
		return c.require("schedule", r.Name, user)
	}
	return fmt.Errorf("%s has no reference; name the value that it reads", user)
}

func (c *checker) feature(r Ref, user string) error {
	if err := c.require("pass", r.Name, user); err != nil {
		return err
	}
	p := c.Pass(r.Name)
	switch {
	case !slices.Contains(p.Outputs, r.Feature):
		return fmt.Errorf("%s reads %v of the pass %q, which does not list it in its outputs; add it there", user, r.Feature, r.Name)
	case r.Feature == FeatureMap && p.MaskUse == MaskUseDrop:
		return fmt.Errorf("%s reads a map of the pass %q, which drops patches; read its tokens", user, r.Name)
	case r.Feature != FeatureTap:
		return nil
	}
	if err := c.backbone.checkTap(r.Tap); err != nil {
		return fmt.Errorf("%s, pass %q: %w", user, r.Name, err)
	}
	return nil
}

func (n Backbone) checkTap(tap int) error {
	if tap >= n.Depth {
		return fmt.Errorf("block %d is tapped; the network has %d", tap, n.Depth)
	}
	return nil
}

func (c *checker) results() error {
	r := c.Results
	if err := c.ref(r.Loss, "the loss"); err != nil {
		return err
	}
	for _, m := range r.Metrics {
		if err := c.declare("metric", m.Name); err != nil {
			return err
		}
		if err := c.ref(m.Value, fmt.Sprintf("metric %q", m.Name)); err != nil {
			return err
		}
	}
	if err := c.updates(); err != nil {
		return err
	}
	images := map[string]bool{}
	for _, i := range r.Images {
		user := fmt.Sprintf("images of pass %q", i.Pass)
		if err := c.require("pass", i.Pass, user); err != nil {
			return err
		}
		if err := c.ref(i.Images, user); err != nil {
			return err
		}
		images[i.Pass] = true
	}
	for _, p := range c.Passes {
		if p.MaskUse == MaskUseCorrupted && !images[p.Name] {
			return fmt.Errorf("pass %q reads corrupted images, and results.images has none for it; add them", p.Name)
		}
	}
	for _, p := range r.Pictures {
		user := fmt.Sprintf("picture %q", p.Name)
		if err := c.ref(p.Prediction, user); err != nil {
			return err
		}
		if err := c.require("view", p.View, user); err != nil {
			return err
		}
		if p.Mask == "" {
			continue
		}
		if err := c.require("mask", p.Mask, user); err != nil {
			return err
		}
		if m := c.Mask(p.Mask); !m.Has(m.Masked()) {
			return fmt.Errorf("%s shows the mask %q of %v, which masks no patches and changes no pixels", user, m.Name, m.Kind)
		}
	}
	return nil
}

func (c *checker) updates() error {
	replaced := map[string]bool{}
	for _, u := range c.Results.Updates {
		user := fmt.Sprintf("update of %q", u.Buffer)
		if err := c.require("buffer", u.Buffer, user); err != nil {
			return err
		}
		if err := c.ref(u.Value, user); err != nil {
			return err
		}
		rule := c.Buffer(u.Buffer).Update
		if rule == UpdateReplace && replaced[u.Buffer] {
			return fmt.Errorf("%s: it is replaced twice; update it once", user)
		}
		replaced[u.Buffer] = true
		if rule == UpdateRows && u.Rows.Of == RefNone {
			return fmt.Errorf("%s: field rows is missing; a buffer that is updated by rows needs it", user)
		}
		if u.Rows.Of == RefNone {
			continue
		}
		if err := c.ref(u.Rows, user+" (rows)"); err != nil {
			return err
		}
	}
	return nil
}

// cycles refuses a pass over images that are made of its own features. Nodes alone cannot form a
// cycle: they read earlier ones.
func (c *checker) cycles() error {
	const inProgress, done = 1, 2
	state := map[Ref]int{}
	images := map[string]Ref{}
	for _, i := range c.Results.Images {
		images[i.Pass] = i.Images
	}
	inputs := map[string][]Argument{}
	for _, n := range c.Nodes {
		inputs[n.Name] = n.Inputs
	}
	var visit func(r Ref) error
	visit = func(r Ref) error {
		at := Ref{Of: r.Of, Name: r.Name}
		if state[at] == inProgress {
			return fmt.Errorf("%v %q depends on itself, by way of the images of a pass; make them of other values", r.Of, r.Name)
		}
		if state[at] == done {
			return nil
		}
		state[at] = inProgress
		var reads []Ref
		switch r.Of {
		case RefNode:
			for _, a := range inputs[r.Name] {
				reads = append(reads, a.Ref)
			}
		case RefFeature:
			if c.Pass(r.Name).MaskUse == MaskUseCorrupted {
				reads = append(reads, images[r.Name])
			}
		case RefTarget:
			if t := c.Target(r.Name); t.Source == SourceCached {
				reads = append(reads, t.Value)
			}
		}
		for _, x := range reads {
			if err := visit(x); err != nil {
				return err
			}
		}
		state[at] = done
		return nil
	}
	for _, n := range c.Nodes {
		if err := visit(Ref{Of: RefNode, Name: n.Name}); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) evaluate() error {
	e := c.Evaluate
	if e == nil {
		return nil
	}
	for _, group := range []struct {
		kind  string
		names []string
	}{{"param", e.Params}, {"buffer", e.Buffers}, {"target", e.Targets}, {"mask", e.Masks}, {"schedule", e.Schedules}} {
		if err := c.requireAll(group.kind, group.names, "evaluate"); err != nil {
			return err
		}
	}
	for _, u := range e.Updates {
		if !slices.Contains(e.Buffers, u) {
			return fmt.Errorf("evaluate updates the buffer %q without reading it; name it in field buffers too", u)
		}
	}
	if e.ScratchBytes > MaxShared {
		return fmt.Errorf("evaluate: field scratch_bytes is %d; valid are 0..2^40", e.ScratchBytes)
	}
	for _, n := range c.Nodes {
		if n.Op != OpEvaluate {
			continue
		}
		if len(n.Inputs) != len(e.Inputs) {
			return fmt.Errorf("%v: %d inputs are given, and evaluate names %d", n, len(n.Inputs), len(e.Inputs))
		}
		for i, in := range e.Inputs {
			if n.Inputs[i].Name != in.Name {
				return fmt.Errorf("%v: input %d is %q, and evaluate names %q", n, i, n.Inputs[i].Name, in.Name)
			}
		}
	}
	return nil
}
