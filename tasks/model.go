package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/backbone/families"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// Model is a pre-trained backbone: its weights in a store of its own, and their origin.
type Model struct {
	Config    backbone.Config
	Info      backbone.Info // of Config
	Store     *param.Store
	Backbone  backbone.Network
	Mean, Std []float64 // normalization of its input, per channel, scale 0 to 1
	Input     Input     // fitting of its images, and the source of their normalization

	// Pool is the feature that the objective recommends; empty for no recommendation.
	Pool Pool
	// LinearBlocks is the recommended number of last blocks that a linear classifier reads; 0 for
	// no recommendation (see RecommendedLinearBlocks).
	LinearBlocks int
	// Network is the one of the run's networks that was read.
	Network Network

	Path   string            // weight file
	Step   int               // optimizer steps, -1 if unknown
	Meta   map[string]string // metadata of the file
	Digest string            // SHA-256 of the file's tensors
	// Ignored names tensors of the file beside the backbone, such as a classifier's head.
	Ignored []string
}

// LoadOptions complete and override the metadata of a weight file.
type LoadOptions struct {
	// Model is timm's name of the architecture, for files without a configuration. It must not
	// contradict the configuration of others.
	Model string
	// Mean and Std override those of the file. Without any, they are ImageNet's for three channels,
	// and 0.5 for other numbers of channels.
	Mean, Std []float64
	// Network selects student or teacher; NetworkRecommended follows the objective's recommendation
	// in the file.
	Network Network
	// Report is called for each damaged checkpoint that is passed over for an older one.
	Report func(path string, err error)
	// Families are the known families of networks; nil means all of vittool.
	Families backbone.Families
}

// Network is one of the two backbones of a run with a teacher.
type Network string

// The networks. Without a recommendation it is the student.
const (
	NetworkRecommended Network = ""
	NetworkStudent     Network = runs.Student
	NetworkTeacher     Network = runs.Teacher
)

// LoadModel reads a backbone from a run folder (its newest valid checkpoint), a checkpoint, an
// exported file, or any safetensors file with timm's names. It verifies the digest in the metadata,
// if there is one. Errors name the tensors that are missing, unknown or of another shape.
//
// A fault of the file is a *data.Error, options that contradict it are a *configs.Error.
func LoadModel(path string, o LoadOptions) (*Model, error) {
	file, err := openWeights(path, o.Report)
	if err != nil {
		return nil, unusable(err)
	}
	m, err := loadModel(file, o)
	return m, unusable(err)
}

// unusable turns an error into a *data.Error, unless it is one or a *configs.Error.
func unusable(err error) error {
	var choice *configs.Error
	var images *data.Error
	if err == nil || errors.As(err, &choice) || errors.As(err, &images) {
		return err
	}
	return &data.Error{Problem: "the weights can't be used", Err: err}
}

func loadModel(file *tensor.File, o LoadOptions) (*Model, error) {
	features, err := runs.ReadFeatures(file)
	if err != nil {
		return nil, err
	}
	network := o.Network
	if network == NetworkRecommended {
		network = Network(features.Network)
	}
	if network == NetworkRecommended {
		network = NetworkStudent
	}
	landmarks := families.Or(o.Families).Landmarks()
	prefix, err := weightPrefix(file, landmarks, network == NetworkTeacher)
	if err != nil {
		return nil, err
	}
	m := &Model{Path: file.Path, Step: -1, Meta: file.Meta, Store: param.NewStore(), Pool: Pool(features.Pool), LinearBlocks: features.LinearBlocks, Network: network}
	if m.Config, err = fileConfig(file, prefix, o); err != nil {
		return nil, err
	}
	m.Info = m.Config.Info()
	if err = m.readInput(file, prefix, o); err != nil {
		return nil, err
	}
	if s, err := strconv.Atoi(file.Meta[runs.MetaStep]); err == nil {
		m.Step = s
	}
	if m.Digest = file.Meta[runs.MetaDigest]; m.Digest == "" {
		m.Digest = tensor.Digest(file.Tensors)
	}
	if m.Backbone, err = m.Config.New(m.Store, "", backbone.Zeros, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Path, err)
	}
	if err := m.fill(file, prefix); err != nil {
		fit := recognize(file, prefix, o)
		if file.Meta[runs.MetaModel] == "" && len(fit) > 0 && !slices.Contains(fit, m.Info.Name) {
			return nil, &configs.Error{Key: "model", Value: o.Model, Problem: err.Error(), Hint: tensorsAreOf(fit)}
		}
		return nil, err
	}
	return m, nil
}

// openWeights reads and verifies the weight file at path, or the newest checkpoint of a run.
func openWeights(path string, report func(string, error)) (*tensor.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &data.Error{Path: path, Problem: "no such run or weight file", Hint: "give the folder of a run, a checkpoint or a .safetensors file", Err: err}
	}
	if info.IsDir() {
		return latestCheckpoint(path, report)
	}
	file, err := tensor.ReadSafetensors(path)
	if err != nil {
		return nil, err
	}
	if file.Meta[runs.MetaDigest] != "" {
		if err := file.VerifyDigest(); err != nil {
			return nil, err
		}
	}
	return file, nil
}

// latestCheckpoint reads the newest valid checkpoint of a run folder.
func latestCheckpoint(run string, report func(string, error)) (*tensor.File, error) {
	file, _, err := runs.Latest(run, report)
	if file == nil && err == nil {
		err = &data.Error{Path: run, Problem: "this folder holds no checkpoint of a run",
			Hint: "give the folder that pretrain wrote (--out), or a .safetensors file"}
	}
	return file, err
}

// weightPrefix returns the prefix of timm's names in the file.
func weightPrefix(file *tensor.File, landmarks []string, teacher bool) (string, error) {
	var prefixes []string
	for _, name := range file.Names() {
		for _, landmark := range landmarks {
			if p, ok := strings.CutSuffix(name, landmark); ok && !strings.HasPrefix(name, runs.OptimizerPrefix) && !slices.Contains(prefixes, p) {
				prefixes = append(prefixes, p)
			}
		}
	}
	want := []string{runs.BackbonePrefix, ""}
	if teacher {
		want = []string{runs.TeacherPrefix + runs.BackbonePrefix}
	}
	for _, w := range want {
		if slices.Contains(prefixes, w) {
			return w, nil
		}
	}
	switch {
	case teacher:
		return "", &configs.Error{Key: "network", Value: string(NetworkTeacher), Source: file.Path,
			Problem: "the file holds no teacher: its objective trains without one", Hint: "take the student"}
	case len(prefixes) == 1:
		return prefixes[0], nil // "model.", "module.", "encoder." of other tools
	case len(prefixes) > 1:
		return "", fmt.Errorf("%s: holds %d backbones (under %s); export one of them alone", file.Path, len(prefixes), strings.Join(prefixes, ", "))
	}
	return "", fmt.Errorf("%s: holds no backbone in timm's names: no tensor is called %s (the file begins with %s)",
		file.Path, strings.Join(landmarks, " or "), strings.Join(firstNames(file, 3), ", "))
}

func firstNames(file *tensor.File, n int) []string {
	names := file.Names()
	if len(names) == 0 {
		return []string{"nothing: it has no tensors"}
	}
	return names[:min(n, len(names))]
}

// fileConfig returns the architecture from the metadata of the file, or else that of o.Model.
func fileConfig(file *tensor.File, prefix string, o LoadOptions) (backbone.Config, error) {
	text, name := file.Meta[runs.MetaModel], o.Model
	if text == "" && name == "" {
		hint := "name its architecture with --model, for instance vit_base_patch16_224"
		if fit := recognize(file, prefix, o); len(fit) > 0 {
			hint = tensorsAreOf(fit) + ": name it with --model"
		}
		return nil, &configs.Error{Key: "model", Source: file.Path, Problem: "the file does not state the configuration of its model", Hint: hint}
	}
	known := families.Or(o.Families)
	var named backbone.Config
	if name != "" {
		var err error
		if named, err = known.Variant(name); err != nil {
			return nil, &configs.Error{Key: "model", Value: name, Problem: err.Error()}
		}
	}
	if text == "" {
		return named, nil
	}
	c, err := known.Decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s: this version of vittool does not know its model configuration: %w", file.Path, err)
	}
	if i := c.Info(); name != "" && !sameSizes(i, named.Info()) {
		return nil, &configs.Error{Key: "model", Value: name, Hint: "leave it out: the file states its architecture",
			Problem: fmt.Sprintf("%s holds a %s (width %d, depth %d, heads %d, patch %d), not a %s", file.Path, i.Name, i.Dim, i.Depth, i.Heads, i.Patch, name)}
	}
	return c, nil
}

// sameSizes reports whether two networks agree in all but the image size.
func sameSizes(a, b backbone.Info) bool {
	return a.Family == b.Family && a.Dim == b.Dim && a.Depth == b.Depth && a.Heads == b.Heads && a.Patch == b.Patch
}

// recognize lists the known models whose tensors the file has.
func recognize(file *tensor.File, prefix string, o LoadOptions) []string {
	return families.Or(o.Families).Recognize(func(name string) (tensor.Shape, bool) {
		t, ok := file.Get(prefix + name)
		return t.Shape, ok
	})
}

func tensorsAreOf(models []string) string {
	return "its tensors are those of " + strings.Join(models[:min(len(models), 3)], " or ")
}

func fileNormalization(file *tensor.File, channels int, o LoadOptions) (mean, std []float64, err error) {
	pick := func(key string, given, otherwise []float64, positive bool) ([]float64, error) {
		v := slices.Clone(given)
		if len(v) == 0 && file.Meta[key] != "" {
			if err := json.Unmarshal([]byte(file.Meta[key]), &v); err != nil {
				return nil, fmt.Errorf("%s: metadata %q is not a list of numbers: %w", file.Path, key, err)
			}
		}
		if len(v) == 0 {
			v = otherwise
		}
		if len(v) != channels {
			return nil, fmt.Errorf("%s: the %s of the normalization has %d values for %d channels", file.Path, key, len(v), channels)
		}
		for _, x := range v {
			if math.IsInf(x, 0) || math.IsNaN(x) || positive && x <= 0 {
				return nil, fmt.Errorf("%s: the %s of the normalization holds %g", file.Path, key, x)
			}
		}
		return v, nil
	}
	usualMean, usualStd := configs.Data{Channels: channels}.Normalization()
	if mean, err = pick(runs.MetaMean, o.Mean, usualMean, false); err != nil {
		return nil, nil, err
	}
	std, err = pick(runs.MetaStd, o.Std, usualStd, true)
	return mean, std, err
}

// Notes returns a line for each part of the file, or of a description beside it, that was left out.
func (m *Model) Notes() []string {
	notes := slices.Clone(m.Input.Notes)
	if n := len(m.Ignored); n > 0 {
		notes = append(notes, fmt.Sprintf("%s: tensors beside the network are left out: %s", m.Path, NameList(m.Ignored)))
	}
	return notes
}

// fill copies the file's tensors into the backbone. One error lists all faults.
func (m *Model) fill(file *tensor.File, prefix string) error {
	var faults []string
	known := map[string]bool{}
	for _, p := range slices.Concat(m.Backbone.Parameters(), m.Backbone.Buffers()) {
		name := prefix + p.Name
		known[name] = true
		t, ok := file.Get(name)
		if !ok {
			faults = append(faults, fmt.Sprintf("%s %v is missing", name, p.Shape))
			continue
		}
		if !t.Shape.Equal(p.Shape) {
			faults = append(faults, fmt.Sprintf("%s is %v, want %v", name, t.Shape, p.Shape))
			continue
		}
		v, err := t.Float64s()
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		for i, x := range v {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				faults = append(faults, fmt.Sprintf("%s[%d] is %g", name, i, x))
				break
			}
			p.Data[i] = float32(x)
		}
	}
	for _, t := range file.Tensors {
		name, ok := strings.CutPrefix(t.Name, prefix)
		if !ok || known[t.Name] || strings.HasPrefix(t.Name, runs.OptimizerPrefix) {
			continue
		}
		if m.Config.Beside(name) || t.DType.Whole() {
			m.Ignored = append(m.Ignored, t.Name)
			continue
		}
		faults = append(faults, fmt.Sprintf("%s %v is no tensor of a %s", t.Name, t.Shape, m.Info.Name))
	}
	slices.Sort(m.Ignored)
	if len(faults) == 0 {
		return nil
	}
	const shown = 6
	more := ""
	if n := len(faults) - shown; n > 0 {
		faults, more = faults[:shown], fmt.Sprintf("; and %d more", n)
	}
	return fmt.Errorf("%s does not hold the weights of a %s of %d×%d pixels: %s%s", file.Path, m.Info.Name, m.Info.ImageH, m.Info.ImageW, strings.Join(faults, "; "), more)
}
