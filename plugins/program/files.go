package program

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/tensor"
)

// fileTensor reads the values of a parameter from the safetensors file that the plan names. The file must be whole
// and the one that the plan was made for.
func (m *Model) fileTensor(in *pb.Init, shape tensor.Shape) ([]float32, error) {
	f := m.files[in.GetPath()]
	if f == nil {
		var err error
		if f, err = tensor.ReadSafetensors(in.GetPath()); err != nil {
			return nil, err
		}
		if err := f.VerifyDigest(); err != nil {
			return nil, err
		}
		m.files[in.GetPath()] = f
	}
	if got := f.Meta["digest"]; got != in.GetDigest() {
		return nil, fmt.Errorf("%s: its digest is %s, and the plan was made for %s: the file changed meanwhile", in.GetPath(), got, in.GetDigest())
	}
	t, ok := f.Get(in.GetTensor())
	if !ok {
		return nil, fmt.Errorf("%s has no tensor %q", in.GetPath(), in.GetTensor())
	}
	if !t.Shape.Equal(shape) {
		return nil, fmt.Errorf("%s: tensor %s is %v, %v is wanted", in.GetPath(), in.GetTensor(), t.Shape, shape)
	}
	return t.Float32s()
}

// FileDigests lists the digests of the files that a plan takes parameters from, as JSON, sorted; "" if there are none.
// A run that goes on with other files would not be the same run.
func FileDigests(plan *pb.Plan) string {
	var all []string
	for in := range fileInits(plan) {
		all = append(all, in.GetDigest())
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	text, err := json.Marshal(slices.Compact(all))
	if err != nil {
		panic(err) // a list of strings
	}
	return string(text)
}

// CheckFiles refuses a plan that reads other files than those whose digests a checkpoint holds, as FileDigests gave them.
func CheckFiles(plan *pb.Plan, trained string) error {
	orNone := func(digests string) string {
		if digests == "" {
			return "none"
		}
		return digests
	}
	if now := FileDigests(plan); now != trained {
		return fmt.Errorf("the objective reads files whose digests are %s; the run was started with %s", orNone(now), orNone(trained))
	}
	return nil
}

// Files lists the paths of the files that a plan takes parameters from.
func Files(plan *pb.Plan) []string {
	var all []string
	for in := range fileInits(plan) {
		all = append(all, in.GetPath())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// fileInits are the initial values that come from files.
func fileInits(plan *pb.Plan) iter.Seq[*pb.Init] {
	return func(yield func(*pb.Init) bool) {
		for _, p := range plan.GetParams() {
			if in := p.GetInit(); in.GetKind() == pb.Init_KIND_FILE && !yield(in) {
				return
			}
		}
		for _, b := range plan.GetBuffers() {
			if in := b.GetInit(); in.GetKind() == pb.Init_KIND_FILE && !yield(in) {
				return
			}
		}
	}
}
