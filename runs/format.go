package runs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/vittool/vittool/tensor"
)

// CheckpointFormat is the value of MetaFormat that this version reads and writes.
const CheckpointFormat = "vittool-checkpoint-1"

// Prefixes of the tensors' names in a checkpoint. A name is a prefix and the name that the official
// code uses: timm's for the backbone, the objective's own for its parameters and buffers.
const (
	BackbonePrefix  = "backbone."  // weights of the student's backbone
	HeadPrefix      = "head."      // parameters of the objective
	TeacherPrefix   = "teacher."   // goes before either: teacher.backbone.… and teacher.head.…
	BufferPrefix    = "buffer."    // buffers of the objective
	OptimizerPrefix = "optimizer." // state of core's optimizers, which set it
)

// Keys of a checkpoint's metadata. Exported weights use some of them.
const (
	MetaFormat    = "format"    // CheckpointFormat
	MetaStep      = "step"      // optimizer steps done
	MetaConfig    = "config"    // YAML of the settings that decide the result
	MetaModel     = "model"     // JSON of the backbone's configuration
	MetaObjective = "objective" // JSON of ObjectiveInfo, without the mode
	MetaData      = "data"      // JSON of DataInfo, without the path
	MetaFeatures  = "features"  // JSON of Features; absent where the objective recommends none
	MetaMean      = "mean"      // JSON list: normalization of each channel, scale 0 to 1
	MetaStd       = "std"       // JSON list
	MetaKernels   = "kernels"   // kernel level that computed it
	MetaFiles     = "files"     // JSON list: digests of the files that frozen parameters are taken from; absent for none
	MetaPlan      = "plan"      // SHA-256 of a third-party plugin's plan; absent for built-in objectives
	MetaDigest    = "digest"    // SHA-256 over the tensors, set by the writer of safetensors files
)

// Meta is the metadata of a checkpoint. Two runs with equal results have equal metadata: it holds
// no times, no threads and no path of the run.
type Meta struct {
	Step      int
	Config    []byte        // YAML of the settings that decide the result
	Model     any           // configuration of the backbone
	Objective ObjectiveInfo // stored without the mode
	Data      DataInfo      // stored without the path
	Features  *Features     // nil for no recommendation
	Mean, Std []float64     // normalization of each channel, scale 0 to 1
	Kernels   string        // kernel level
	Files     string        // JSON list of digests, "" for none
	Plan      string        // SHA-256 of a third-party plugin's plan, else ""
}

// text is the metadata as a checkpoint stores it.
func (m Meta) text() (map[string]string, error) {
	m.Objective.Mode, m.Data.Path = "", ""
	meta := map[string]string{
		MetaFormat: CheckpointFormat, MetaStep: strconv.Itoa(m.Step), MetaConfig: string(m.Config), MetaKernels: m.Kernels,
	}
	if m.Files != "" {
		meta[MetaFiles] = m.Files
	}
	if m.Plan != "" {
		meta[MetaPlan] = m.Plan
	}
	values := map[string]any{MetaModel: m.Model, MetaObjective: m.Objective, MetaData: m.Data, MetaMean: m.Mean, MetaStd: m.Std}
	if m.Features != nil {
		values[MetaFeatures] = m.Features
	}
	for key, v := range values {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("checkpoint metadata %q: %w", key, err)
		}
		meta[key] = string(b)
	}
	return meta, nil
}

// Decode reads the JSON under a key of a file's metadata into v.
func Decode(file *tensor.File, key string, v any) error {
	if err := json.Unmarshal([]byte(file.Meta[key]), v); err != nil {
		return fmt.Errorf("%s: metadata %q: %w", file.Path, key, err)
	}
	return nil
}

// Networks of a run, and the ways to pool the tokens of one into a feature.
const (
	Student = "student"
	Teacher = "teacher"

	PoolClass = "class"
	PoolMean  = "mean"
	PoolBoth  = "both"
)

// Features are the recommendation of an objective to evaluations: the network and the feature to
// take where the user does not choose.
type Features struct {
	Network string `json:"network"` // Student or Teacher
	Pool    string `json:"pool"`    // PoolClass, PoolMean or PoolBoth
	// LinearBlocks is the number of last blocks that a linear classifier reads; 0 for no
	// recommendation.
	LinearBlocks int `json:"linear_blocks,omitempty"`
}

// ReadFeatures reads the recommendation of a file; the zero value where there is none.
func ReadFeatures(file *tensor.File) (Features, error) {
	var f Features
	if file.Meta[MetaFeatures] == "" {
		return f, nil
	}
	if err := Decode(file, MetaFeatures, &f); err != nil {
		return f, err
	}
	if !slices.Contains([]string{"", PoolClass, PoolMean, PoolBoth}, f.Pool) || f.Network != Student && f.Network != Teacher || f.LinearBlocks < 0 {
		return f, fmt.Errorf("%s: metadata %q is %s, which this version of vittool does not know", file.Path, MetaFeatures, file.Meta[MetaFeatures])
	}
	return f, nil
}
