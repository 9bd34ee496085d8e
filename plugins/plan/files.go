package plan

import (
	"encoding/json"
	"fmt"
	"slices"
)

// fileInits are the initial values that come from files.
func (p *Plan) fileInits() []*Init {
	var all []*Init
	for _, x := range p.Params {
		all = append(all, x.Init)
	}
	for _, x := range p.Buffers {
		all = append(all, x.Init)
	}
	return slices.DeleteFunc(all, func(in *Init) bool { return in.Kind != InitFile })
}

// fileTexts lists a text of each initial value from a file, sorted, each once.
func (p *Plan) fileTexts(text func(*Init) string) []string {
	all := each(p.fileInits(), text)
	slices.Sort(all)
	return slices.Compact(all)
}

// Files lists the paths of the files that the plan takes initial values from.
func (p *Plan) Files() []string { return p.fileTexts(func(in *Init) string { return in.Path }) }

// FileTensors names the tensors that the plan takes from the file at path, with the shapes that it
// gives them.
func (p *Plan) FileTensors(path string) map[string][]int {
	tensors := map[string][]int{}
	add := func(in *Init, shape []int) {
		if in.Kind == InitFile && in.Path == path {
			tensors[in.Tensor] = shape
		}
	}
	for _, x := range p.Params {
		add(x.Init, x.Shape)
	}
	for _, x := range p.Buffers {
		add(x.Init, x.Shape)
	}
	return tensors
}

// FileDigests lists the digests of these files as JSON, sorted; "" if there are none. A run that goes on with other
// files would not be the same run.
func (p *Plan) FileDigests() string {
	digests := p.fileTexts(func(in *Init) string { return in.Digest })
	if len(digests) == 0 {
		return ""
	}
	text, err := json.Marshal(digests)
	if err != nil {
		panic(err) // a list of strings
	}
	return string(text)
}

// CheckFiles refuses a plan that reads other files than those whose digests a checkpoint holds, as
// FileDigests gave them.
func (p *Plan) CheckFiles(trained string) error {
	orNone := func(digests string) string {
		if digests == "" {
			return "none"
		}
		return digests
	}
	if now := p.FileDigests(); now != trained {
		return fmt.Errorf("the objective reads files whose digests are %s; the run was started with %s", orNone(now), orNone(trained))
	}
	return nil
}
