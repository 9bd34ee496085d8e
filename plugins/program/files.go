package program

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/plugins/pb"
)

// fileTensor reads the values of a parameter from the safetensors file that the plan names. The file must be whole
// and the one that the plan was made for.
func (m *Model) fileTensor(in *pb.Init, shape core.Shape) ([]float32, error) {
	f := m.files[in.GetPath()]
	if f == nil {
		var err error
		if f, err = core.ReadSafetensors(in.GetPath()); err != nil {
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
	add := func(in *pb.Init) {
		if in.GetKind() == pb.Init_KIND_FILE {
			all = append(all, in.GetDigest())
		}
	}
	for _, p := range plan.GetParams() {
		add(p.GetInit())
	}
	for _, b := range plan.GetBuffers() {
		add(b.GetInit())
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
