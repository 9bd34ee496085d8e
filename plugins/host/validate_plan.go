package host

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/vittool/vittool/plugins/pb"
)

const (
	maxElements = 1 << 34 // of one tensor of a plan
	maxParts    = 5000    // views, passes, params, nodes ... each: the graph's compile time is quadratic
)

// planChecker collects the names of a plan while it is walked.
type planChecker struct {
	plan  *pb.Plan
	info  *pb.BackboneInfo
	names map[string]map[string]bool // kind -> names
}

// ValidatePlan checks what does not need the operator table: names, references, sizes and
// numbers. The compiler (plugins/program) checks operators and shapes.
func ValidatePlan(plan *pb.Plan, open *pb.OpenRequest) error {
	if plan == nil {
		return fmt.Errorf("no plan")
	}
	if plan.OperatorVersion != pb.OperatorVersion {
		return fmt.Errorf("field operator_version is %d, this vittool has %d", plan.OperatorVersion, pb.OperatorVersion)
	}
	if err := finite(plan.ProtoReflect(), "plan"); err != nil {
		return err
	}
	c := &planChecker{plan: plan, info: open.GetBackbone(), names: map[string]map[string]bool{}}
	for _, step := range []func() error{c.backbone, c.views, c.masks, c.params, c.buffers, c.targets, c.schedules, c.passes, c.nodes, c.results, c.exports, c.recommended, c.evaluate} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// finite refuses NaN and infinity anywhere in a message.
func finite(m protoreflect.Message, path string) (err error) {
	bad := func(v protoreflect.Value, path string) error {
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("field %s is %v", path, f)
		}
		return nil
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		p := path + "." + string(f.Name())
		float := f.Kind() == protoreflect.DoubleKind || f.Kind() == protoreflect.FloatKind
		message := f.Kind() == protoreflect.MessageKind
		switch {
		case f.IsList() && (float || message):
			for i := range v.List().Len() {
				e, q := v.List().Get(i), fmt.Sprintf("%s[%d]", p, i)
				if float {
					err = bad(e, q)
				} else {
					err = finite(e.Message(), q)
				}
				if err != nil {
					return false
				}
			}
		case f.IsList(), f.IsMap():
		case float:
			err = bad(v, p)
		case message:
			err = finite(v.Message(), p)
		}
		return err == nil
	})
	return err
}

func (c *planChecker) add(kind, name string) error {
	if name == "" {
		return fmt.Errorf("field %ss: one has no name", kind)
	}
	if c.names[kind] == nil {
		c.names[kind] = map[string]bool{}
	}
	if c.names[kind][name] {
		return fmt.Errorf("field %ss: two are named %q", kind, name)
	}
	if len(c.names[kind]) >= maxParts {
		return fmt.Errorf("field %ss: more than %d", kind, maxParts)
	}
	c.names[kind][name] = true
	return nil
}

func (c *planChecker) has(kind, name, user string) error {
	if !c.names[kind][name] {
		return fmt.Errorf("%s names the %s %q, which the plan does not have", user, kind, name)
	}
	return nil
}

func elements(what string, shape []uint64) error {
	n := uint64(1)
	for _, d := range shape {
		if d == 0 || d > maxElements || n > maxElements/d {
			return fmt.Errorf("%s has the impossible shape %v", what, shape)
		}
		n *= d
	}
	return nil
}

func (c *planChecker) backbone() error {
	r := c.plan.GetBackbone()
	if f := r.GetFamilies(); len(f) > 0 && !slices.Contains(f, c.info.GetFamily()) {
		return fmt.Errorf("field backbone.families is %v, the backbone %s is a %q", f, c.info.GetName(), c.info.GetFamily())
	}
	if r.GetUnused() && (len(c.plan.Passes) > 0 || c.plan.Teacher != nil) {
		return fmt.Errorf("field backbone.unused is set, and the plan has passes or a teacher")
	}
	if r.GetDropPath() < 0 || r.GetDropPath() >= 1 {
		return fmt.Errorf("field backbone.drop_path is %v, valid is 0 <= x < 1", r.GetDropPath())
	}
	return nil
}

func (c *planChecker) views() error {
	if len(c.plan.Views) == 0 {
		return fmt.Errorf("field views is empty; an objective needs at least one")
	}
	for _, v := range c.plan.Views {
		if v.SameGeometryAs != "" {
			if err := c.has("view", v.SameGeometryAs, fmt.Sprintf("view %q (same_geometry_as; the other one comes first)", v.Name)); err != nil {
				return err
			}
		}
		if err := c.add("view", v.Name); err != nil {
			return err
		}
		if h, w := size(v, c.info); h < 1 || w < 1 || h > 1<<14 || w > 1<<14 {
			return fmt.Errorf("view %q is %d x %d pixels, valid are 1..%d", v.Name, h, w, 1<<14)
		}
		if v.ScaleMin < 0 || v.ScaleMax < v.ScaleMin || v.ScaleMax > 1 || v.ScaleMax > 0 && v.ScaleMin == 0 {
			return fmt.Errorf("view %q: field scale is %v..%v, valid is 0 < min <= max <= 1", v.Name, v.ScaleMin, v.ScaleMax)
		}
		if v.RatioMin < 0 || v.RatioMax < v.RatioMin || v.RatioMax > 0 && v.RatioMin == 0 {
			return fmt.Errorf("view %q: field ratio is %v..%v, valid is 0 < min <= max", v.Name, v.RatioMin, v.RatioMax)
		}
		for i, a := range v.Augmentations {
			if err := augmentation(a); err != nil {
				return fmt.Errorf("view %q, augmentation %d: %w", v.Name, i, err)
			}
		}
	}
	return nil
}

func augmentation(a *pb.Augmentation) error {
	var p float64
	switch k := a.GetKind().(type) {
	case *pb.Augmentation_Flip_:
		p = k.Flip.GetProbability()
	case *pb.Augmentation_ColorJitter_:
		j := k.ColorJitter
		p = j.GetProbability()
		if min(j.GetBrightness(), j.GetContrast(), j.GetSaturation(), j.GetHue()) < 0 || j.GetHue() > .5 {
			return fmt.Errorf("color_jitter: strengths are at least 0, hue at most 0.5")
		}
	case *pb.Augmentation_Grayscale_:
		p = k.Grayscale.GetProbability()
	case *pb.Augmentation_GaussianBlur_:
		g := k.GaussianBlur
		p = g.GetProbability()
		if g.GetSigmaMin() < 0 || g.GetSigmaMax() < g.GetSigmaMin() || g.GetKernel() > 0 && g.GetKernel()%2 == 0 {
			return fmt.Errorf("gaussian_blur: valid is 0 <= sigma_min <= sigma_max and an odd kernel")
		}
	case *pb.Augmentation_Solarize_:
		p = k.Solarize.GetProbability()
		if k.Solarize.GetThreshold() > 255 {
			return fmt.Errorf("solarize: threshold %d, valid are 0..255", k.Solarize.GetThreshold())
		}
	default:
		return fmt.Errorf("unknown kind; is this vittool older than the plugin?")
	}
	if p < 0 || p > 1 {
		return fmt.Errorf("probability %v, valid is 0..1", p)
	}
	return nil
}

func (c *planChecker) masks() error {
	for _, m := range c.plan.Masks {
		if err := c.add("mask", m.Name); err != nil {
			return err
		}
		if err := c.has("view", m.View, fmt.Sprintf("mask %q", m.Name)); err != nil {
			return err
		}
		rows, cols := grid(viewNamed(c.plan, m.View), c.info)
		what := fmt.Sprintf("mask %q: field length is %d", m.Name, m.Length)
		switch m.Kind {
		case pb.MaskSpec_KIND_KEEP:
			if m.Length < 1 || int(m.Length) > rows*cols {
				return fmt.Errorf("%s, valid are 1..%d", what, rows*cols)
			}
		case pb.MaskSpec_KIND_BITMAP:
			if (m.Rows == 0) != (m.Cols == 0) || m.Rows > 1<<14 || m.Cols > 1<<14 {
				return fmt.Errorf("mask %q: fields rows and cols are %d and %d", m.Name, m.Rows, m.Cols)
			}
			if m.Length > 1<<24 {
				return fmt.Errorf("%s, valid are 0..2^24", what)
			}
		case pb.MaskSpec_KIND_INDICES:
			if m.Length < 1 || m.Length > 1<<24 || m.Limit < 1 || m.Limit > math.MaxInt32 {
				return fmt.Errorf("%s and limit is %d; valid are 1..2^24 and 1..2^31-1", what, m.Limit)
			}
		case pb.MaskSpec_KIND_CORRUPTION:
			if m.Length < 1 || m.Length > 1<<16 {
				return fmt.Errorf("%s, valid are 1..65536", what)
			}
		default:
			return fmt.Errorf("mask %q: unknown kind %v", m.Name, m.Kind)
		}
	}
	return nil
}

func (c *planChecker) params() error {
	for _, p := range c.plan.Params {
		if err := c.add("param", p.Name); err != nil {
			return err
		}
		what := fmt.Sprintf("param %q", p.Name)
		if err := elements(what, p.Shape); err != nil {
			return err
		}
		if err := checkInit(what, p.Init, p.Shape); err != nil {
			return err
		}
		if p.LrScale < 0 {
			return fmt.Errorf("%s: field lr_scale is %v", what, p.LrScale)
		}
	}
	return nil
}

func checkInit(what string, i *pb.Init, shape []uint64) error {
	n := uint64(1)
	for _, d := range shape {
		n *= d
	}
	switch i.GetKind() {
	case pb.Init_KIND_SINCOS_COLUMN, pb.Init_KIND_SINCOS_ROW:
		if len(shape) != 3 || shape[0] != 1 || shape[1] != uint64(i.Prefix)+uint64(i.Rows)*uint64(i.Cols) || shape[2]%4 != 0 {
			return fmt.Errorf("%s: a table of %d+%d x %d rows does not fit the shape %v (the last size must be divisible by 4)", what, i.Prefix, i.Rows, i.Cols, shape)
		}
	case pb.Init_KIND_FILE:
		if i.Path == "" || i.Tensor == "" || i.Digest == "" {
			return fmt.Errorf("%s: an init from a file needs its path, tensor and digest", what)
		}
	case pb.Init_KIND_DATA:
		if uint64(len(i.Values)) != n {
			return fmt.Errorf("%s: %d initial values for the shape %v", what, len(i.Values), shape)
		}
	default:
		if _, ok := pb.Init_Kind_name[int32(i.GetKind())]; !ok {
			return fmt.Errorf("%s: unknown init %v", what, i.GetKind())
		}
		if i.GetA() < 0 && i.GetKind() != pb.Init_KIND_CONSTANT {
			return fmt.Errorf("%s: field init.a is %v", what, i.GetA())
		}
	}
	return nil
}

func (c *planChecker) buffers() error {
	for _, b := range c.plan.Buffers {
		if err := c.add("buffer", b.Name); err != nil {
			return err
		}
		what := fmt.Sprintf("buffer %q", b.Name)
		if err := elements(what, b.Shape); err != nil {
			return err
		}
		if err := checkInit(what, b.Init, b.Shape); err != nil {
			return err
		}
		if b.Update != pb.BufferSpec_UPDATE_REPLACE && len(b.Shape) == 0 {
			return fmt.Errorf("%s: rows of a scalar cannot be updated", what)
		}
	}
	return nil
}

func (c *planChecker) targets() error {
	for _, t := range c.plan.Targets {
		if err := c.add("target", t.Name); err != nil {
			return err
		}
		what := fmt.Sprintf("target %q", t.Name)
		switch t.Source {
		case pb.TargetSpec_SOURCE_SAMPLE_ID, pb.TargetSpec_SOURCE_LABEL:
			continue
		case pb.TargetSpec_SOURCE_GEOMETRY, pb.TargetSpec_SOURCE_PLUGIN:
		case pb.TargetSpec_SOURCE_REMEMBERED:
			if t.Value == nil {
				return fmt.Errorf("%s is remembered and has no value", what)
			}
		default:
			return fmt.Errorf("%s: unknown source %v", what, t.Source)
		}
		if err := c.has("view", t.View, what); err != nil {
			return err
		}
		if err := elements(what, t.Shape); err != nil {
			return err
		}
	}
	return nil
}

func (c *planChecker) schedules() error {
	for _, s := range c.plan.Schedules {
		if err := c.add("schedule", s.Name); err != nil {
			return err
		}
		if s.Kind == pb.Schedule_KIND_TABLE && len(s.Values) == 0 {
			return fmt.Errorf("schedule %q: a table without values", s.Name)
		}
	}
	if t := c.plan.Teacher; t != nil {
		return c.has("schedule", t.Momentum, "the teacher (momentum)")
	}
	return nil
}

func (c *planChecker) passes() error {
	for _, p := range c.plan.Passes {
		if err := c.add("pass", p.Name); err != nil {
			return err
		}
		what := fmt.Sprintf("pass %q", p.Name)
		if len(p.Views) == 0 {
			return fmt.Errorf("%s has no view", what)
		}
		for _, v := range p.Views {
			if err := c.has("view", v, what); err != nil {
				return err
			}
			h0, w0 := size(viewNamed(c.plan, p.Views[0]), c.info)
			if p := int(c.info.GetPatch()); c.info.GetFamily() == "vit" && p > 0 && (h0%p != 0 || w0%p != 0) {
				return fmt.Errorf("%s reads view %q of %d x %d pixels, which patches of %d do not divide", what, v, h0, w0, p)
			}
			if h, w := size(viewNamed(c.plan, v), c.info); h != h0 || w != w0 {
				return fmt.Errorf("%s joins views of %d x %d and %d x %d pixels; views of one pass are of equal size", what, h0, w0, h, w)
			}
		}
		if p.Network == pb.Network_NETWORK_TEACHER && c.plan.Teacher == nil {
			return fmt.Errorf("%s runs the teacher, and the plan has none", what)
		}
		for _, t := range p.Taps {
			if c.info.GetFamily() == "vit" && t >= c.info.GetDepth() {
				return fmt.Errorf("%s taps block %d, the backbone has %d", what, t, c.info.GetDepth())
			}
		}
		if p.MaskUse != pb.PassSpec_MASK_USE_DROP && p.MaskUse != pb.PassSpec_MASK_USE_TOKEN {
			continue
		}
		if len(p.Masks) != len(p.Views) {
			return fmt.Errorf("%s has %d masks for %d views", what, len(p.Masks), len(p.Views))
		}
		for _, m := range p.Masks {
			if err := c.has("mask", m, what); err != nil {
				return err
			}
		}
		if p.MaskUse == pb.PassSpec_MASK_USE_TOKEN {
			if err := c.has("param", p.MaskToken, what+" (mask_token)"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *planChecker) nodes() error {
	evaluations := 0
	for _, n := range c.plan.Nodes {
		what := fmt.Sprintf("node %q (%s)", n.Name, n.Op)
		for _, a := range n.Inputs {
			if err := c.ref(a.GetRef(), fmt.Sprintf("%s, input %q", what, a.GetName())); err != nil {
				return err
			}
		}
		if err := c.add("node", n.Name); err != nil {
			return err
		}
		if n.Op == pb.OpEvaluate {
			evaluations++
		}
	}
	for _, t := range c.plan.Targets {
		if t.Source == pb.TargetSpec_SOURCE_REMEMBERED {
			if err := c.ref(t.Value, fmt.Sprintf("target %q", t.Name)); err != nil {
				return err
			}
		}
	}
	if want := c.plan.Evaluate != nil; want && evaluations != 1 || !want && evaluations != 0 {
		return fmt.Errorf("the plan has %d nodes %q and evaluate is set: %v; it needs one of each or neither", evaluations, pb.OpEvaluate, want)
	}
	return nil
}

// ref checks that a reference names something that exists (for nodes: earlier).
func (c *planChecker) ref(r *pb.Ref, user string) error {
	switch k := r.GetOf().(type) {
	case *pb.Ref_Node:
		return c.has("node", k.Node, user)
	case *pb.Ref_Feature:
		if err := c.has("pass", k.Feature.GetPass(), user); err != nil {
			return err
		}
		for _, p := range c.plan.Passes {
			if p.Name != k.Feature.GetPass() {
				continue
			}
			if slices.Contains(p.Outputs, k.Feature.GetOutput()) {
				return nil
			}
		}
		return fmt.Errorf("%s reads %v of the pass %q, which does not list it in its outputs", user, k.Feature.GetOutput(), k.Feature.GetPass())
	case *pb.Ref_Param:
		return c.has("param", k.Param, user)
	case *pb.Ref_TeacherParam:
		for _, p := range c.plan.Params {
			if p.Name == k.TeacherParam && p.TeacherCopy && c.plan.Teacher != nil {
				return nil
			}
		}
		return fmt.Errorf("%s reads the teacher's copy of %q, which the plan does not have", user, k.TeacherParam)
	case *pb.Ref_Buffer:
		return c.has("buffer", k.Buffer, user)
	case *pb.Ref_Target:
		return c.has("target", k.Target, user)
	case *pb.Ref_Mask:
		return c.has("mask", k.Mask.GetMask(), user)
	case *pb.Ref_View:
		return c.has("view", k.View, user)
	case *pb.Ref_Scalar:
		return c.has("schedule", k.Scalar, user)
	}
	return fmt.Errorf("%s has an empty reference", user)
}

func (c *planChecker) results() error {
	r := c.plan.GetResults()
	if err := c.ref(r.GetLoss(), "the loss"); err != nil {
		return err
	}
	for _, m := range r.Metrics {
		if err := c.add("metric", m.Name); err != nil {
			return err
		}
		if err := c.ref(m.Value, fmt.Sprintf("metric %q", m.Name)); err != nil {
			return err
		}
	}
	for _, u := range r.Updates {
		what := fmt.Sprintf("update of %q", u.Buffer)
		if err := c.has("buffer", u.Buffer, what); err != nil {
			return err
		}
		if err := c.ref(u.Value, what); err != nil {
			return err
		}
		if u.Rows != nil {
			if err := c.ref(u.Rows, what+" (rows)"); err != nil {
				return err
			}
		}
	}
	images := map[string]bool{}
	for _, i := range r.Images {
		what := fmt.Sprintf("images of pass %q", i.Pass)
		if err := c.has("pass", i.Pass, what); err != nil {
			return err
		}
		if err := c.ref(i.Images, what); err != nil {
			return err
		}
		images[i.Pass] = true
	}
	for _, p := range c.plan.Passes {
		if p.MaskUse == pb.PassSpec_MASK_USE_CORRUPTED && !images[p.Name] {
			return fmt.Errorf("pass %q reads corrupted images, and results.images has none for it", p.Name)
		}
	}
	for _, p := range r.Pictures {
		what := fmt.Sprintf("picture %q", p.Name)
		if err := c.ref(p.Prediction, what); err != nil {
			return err
		}
		if err := c.has("view", p.View, what); err != nil {
			return err
		}
		if p.Mask != "" {
			if err := c.has("mask", p.Mask, what); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxLinearBlocks is more than any network has.
const maxLinearBlocks = 1024

func (c *planChecker) recommended() error {
	r := c.plan.Recommended
	switch r.GetNetwork() {
	case pb.Network_NETWORK_STUDENT:
	case pb.Network_NETWORK_TEACHER:
		if c.plan.Teacher == nil {
			return fmt.Errorf("field recommended.network is the teacher, and the plan has none")
		}
	default:
		return fmt.Errorf("field recommended.network is %v, which this vittool does not know", r.GetNetwork())
	}
	if n := r.GetLinearBlocks(); n > maxLinearBlocks {
		return fmt.Errorf("field recommended.linear_blocks is %d, more than %d", n, maxLinearBlocks)
	}
	both := []pb.Output{pb.Output_OUTPUT_CLASS, pb.Output_OUTPUT_POOLED}
	if len(r.GetFeatures()) == 0 || slices.Equal(r.Features, both) || len(r.Features) == 1 && slices.Contains(both, r.Features[0]) {
		return nil
	}
	return fmt.Errorf("field recommended.features is %v; features are %v, %v, or both in this order", r.Features, both[0], both[1])
}

func (c *planChecker) exports() error {
	for _, e := range c.plan.Exports {
		if err := c.add("export", e.Name); err != nil {
			return err
		}
		what := fmt.Sprintf("export %q", e.Name)
		if strings.ContainsAny(e.Name, "/\\\x00") {
			return fmt.Errorf("%s: a name has no slashes", what)
		}
		tensors := map[string]bool{}
		for kind, names := range map[string][]string{"param": e.Params, "buffer": e.Buffers} {
			for _, n := range names {
				if err := c.has(kind, n, what); err != nil {
					return err
				}
				if tensors[n] {
					return fmt.Errorf("%s holds two tensors named %q", what, n)
				}
				tensors[n] = true
			}
		}
		if len(tensors) == 0 {
			return fmt.Errorf("%s holds nothing", what)
		}
	}
	return nil
}

func (c *planChecker) evaluate() error {
	e := c.plan.GetEvaluate()
	if e == nil {
		return nil
	}
	for _, group := range []struct {
		kind  string
		names []string
	}{{"param", e.Params}, {"buffer", e.Buffers}, {"target", e.Targets}, {"mask", e.Masks}, {"schedule", e.Schedules}} {
		for _, n := range group.names {
			if err := c.has(group.kind, n, "evaluate"); err != nil {
				return err
			}
		}
	}
	for _, u := range e.Updates {
		if !slices.Contains(e.Buffers, u) {
			return fmt.Errorf("evaluate updates the buffer %q without reading it", u)
		}
	}
	if e.ScratchBytes > 1<<40 {
		return fmt.Errorf("evaluate asks for %d bytes of scratch", e.ScratchBytes)
	}
	return nil
}

// planDifference names the first field in which two plans differ.
func planDifference(a, b *pb.Plan) string {
	where := ""
	fields := a.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		only := func(p *pb.Plan) *pb.Plan {
			q := &pb.Plan{}
			if p.ProtoReflect().Has(f) {
				q.ProtoReflect().Set(f, p.ProtoReflect().Get(f))
			}
			return q
		}
		x, y := only(a), only(b)
		if proto.Equal(x, y) {
			continue
		}
		s, t := prototext.Format(x), prototext.Format(y)
		k := 0
		for k < min(len(s), len(t)) && s[k] == t[k] {
			k++
		}
		around := func(s string) string { return s[min(len(s), max(0, k-30)):min(len(s), k+50)] }
		where = fmt.Sprintf("field %s, %q became %q", f.Name(), around(s), around(t))
		break
	}
	return where
}
