package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/vit"
)

// Model is a pre-trained backbone: its weights in a store of its own and what
// is known of where they come from.
type Model struct {
	Config    vit.Config
	Store     *core.Store
	Backbone  *vit.Backbone
	Mean, Std []float64 // normalisation of its input, per channel, scale 0 to 1
	Input     Input     // how it wants its images

	// Pool is what the run's objective recommends as its feature; empty where
	// the file does not say.
	Pool Pool
	// LinearBlocks is of how many of the last blocks a linear classifier reads it,
	// as the objective recommends; 0 where it says nothing (see RecommendedLinearBlocks).
	LinearBlocks int
	// Network tells which of a run's networks it is.
	Network Network

	Path   string            // file that the weights were read from
	Step   int               // optimizer steps, -1 where the file doesn't say
	Meta   map[string]string // metadata of the file
	Digest string            // SHA-256 of the file's tensors
	// Ignored names tensors of the file that are no part of a backbone, such
	// as a classifier's head.
	Ignored []string
}

// LoadOptions say what a weight file itself may not.
type LoadOptions struct {
	// Model names the architecture (see vit.Variant) of a file that carries
	// no configuration; for others it must agree with it.
	Model string
	// Mean and Std override the file's; without either, ImageNet's stand for
	// three channels and 0.5 for others.
	Mean, Std []float64
	// Network is the trained backbone or its averaged copy; NetworkRecommended
	// takes what the file says its objective recommends.
	Network Network
	// Report hears of damaged checkpoints that are passed over for an older one.
	Report func(path string, err error)
}

// Network is one of the two backbones of a run with a teacher.
type Network string

// The networks. Without a recommendation it is the trained one.
const (
	NetworkRecommended Network = ""
	NetworkStudent     Network = "student"
	NetworkTeacher     Network = "teacher"
)

// Keys of the metadata that weight files of vittool carry.
const (
	metaFormat = "format"
	metaModel  = "model" // JSON of vit.Config
	metaMean   = "mean"  // JSON list
	metaStd    = "std"
	metaStep   = "step"
	metaDigest = "digest"

	metaFeatures = "features" // JSON of recommended
	metaFiles    = "files"    // JSON list: digests of the files that frozen parameters are taken from
)

// Prefixes of a checkpoint's tensors, as plugins/program sets them.
const (
	studentPrefix = "backbone."
	teacherPrefix = "teacher.backbone."
)

// firstWeight is a tensor that every ViT has; what stands in front of it is
// the prefix of a file's names.
const firstWeight = "patch_embed.proj.weight"

// LoadModel reads a backbone from a run folder (its newest checkpoint that is
// whole), a checkpoint, an exported file, or any safetensors file with timm's
// names. A digest that the file carries is verified. Errors name the tensors
// that are missing, too many or of another shape.
//
// Errors are of type *data.Error where the file is at fault, and *configs.Error
// where the options do not suit it.
func LoadModel(path string, o LoadOptions) (*Model, error) {
	file, err := openWeights(path, o.Report)
	if err != nil {
		return nil, unusable(err)
	}
	m, err := loadModel(file, o)
	return m, unusable(err)
}

// unusable makes an error that is not the user's choice of options one of data.
func unusable(err error) error {
	var choice *configs.Error
	var images *data.Error
	if err == nil || errors.As(err, &choice) || errors.As(err, &images) {
		return err
	}
	return &data.Error{Problem: "the weights can't be used", Err: err}
}

func loadModel(file *core.File, o LoadOptions) (*Model, error) {
	features, err := fileFeatures(file)
	if err != nil {
		return nil, err
	}
	network := o.Network
	if network == NetworkRecommended {
		network = features.Network
	}
	if network == NetworkRecommended {
		network = NetworkStudent
	}
	prefix, err := weightPrefix(file, network == NetworkTeacher)
	if err != nil {
		return nil, err
	}
	m := &Model{Path: file.Path, Step: -1, Meta: file.Meta, Store: core.NewStore(), Pool: features.Pool, LinearBlocks: features.LinearBlocks, Network: network}
	if m.Config, err = fileConfig(file, prefix, o.Model); err != nil {
		return nil, err
	}
	if err = m.readInput(file, o); err != nil {
		return nil, err
	}
	if s, err := strconv.Atoi(file.Meta[metaStep]); err == nil {
		m.Step = s
	}
	if m.Digest = file.Meta[metaDigest]; m.Digest == "" {
		m.Digest = core.Digest(file.Tensors)
	}
	if m.Backbone, err = vit.New(m.Store, "", m.Config, vit.SchemeNone, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Path, err)
	}
	if err := m.fill(file, prefix); err != nil {
		fit := fittingVariants(file, prefix)
		if file.Meta[metaModel] == "" && len(fit) > 0 && !fits(file, prefix, m.Config) {
			return nil, &configs.Error{Key: "model", Value: o.Model, Problem: err.Error(), Hint: "its tensors are those of " + strings.Join(fit, " or ")}
		}
		return nil, err
	}
	return m, nil
}

// NewModel returns a backbone with initial weights, the yardstick that a
// trained one is to beat.
func NewModel(c vit.Config, scheme vit.Scheme, mean, std []float64, seed uint64) (*Model, error) {
	m := &Model{Config: c.Normalized(), Store: core.NewStore(), Step: 0, Meta: map[string]string{}}
	var err error
	if m.Backbone, err = vit.New(m.Store, "", c, scheme, seed); err != nil {
		return nil, err
	}
	m.Mean, m.Std, err = fileNormalisation(&core.File{Path: c.Name}, m.Config.Channels, LoadOptions{Mean: mean, Std: std})
	return m, err
}

// recommended is what a checkpoint says of its use.
type recommended struct {
	Network Network `json:"network"`
	Pool    Pool    `json:"pool"`
	// LinearBlocks is 0 where nothing is recommended.
	LinearBlocks int `json:"linear_blocks,omitempty"`
}

func fileFeatures(file *core.File) (r recommended, err error) {
	text := file.Meta[metaFeatures]
	if text == "" {
		return r, nil
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("%s: metadata %q: %w", file.Path, metaFeatures, err)
	}
	if r.Pool != "" && !slices.Contains(Pools(), r.Pool) || r.Network != NetworkStudent && r.Network != NetworkTeacher || r.LinearBlocks < 0 {
		return r, fmt.Errorf("%s: metadata %q is %s, which this version of vittool does not know", file.Path, metaFeatures, text)
	}
	return r, nil
}

// openWeights reads the file that path means and verifies it.
func openWeights(path string, report func(string, error)) (*core.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &data.Error{Path: path, Problem: "no such run or weight file", Hint: "give the folder of a run, a checkpoint or a .safetensors file", Err: err}
	}
	if info.IsDir() {
		return latestCheckpoint(path, report)
	}
	file, err := core.ReadSafetensors(path)
	if err != nil {
		return nil, err
	}
	if file.Meta[metaDigest] != "" {
		if err := file.VerifyDigest(); err != nil {
			return nil, err
		}
	}
	return file, nil
}

// latestCheckpoint reads the newest checkpoint of a run folder whose digest
// holds. Damaged ones are reported and passed over.
func latestCheckpoint(run string, report func(string, error)) (*core.File, error) {
	folder := filepath.Join(run, "checkpoints")
	found, err := filepath.Glob(filepath.Join(escapeGlob(folder), "step-*.safetensors"))
	if err != nil {
		return nil, fmt.Errorf("list checkpoints of %s: %w", run, err)
	}
	if len(found) == 0 {
		return nil, &data.Error{Path: run, Problem: "this folder holds no checkpoint of a run",
			Hint: "give the folder that pretrain wrote (--out), or a .safetensors file"}
	}
	// Steps are padded with zeros to eight digits: longer names are later.
	slices.SortFunc(found, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(b, a)
	})
	var last error
	for _, path := range found {
		file, err := core.ReadSafetensors(path)
		if err == nil {
			err = file.VerifyDigest()
		}
		if err == nil {
			return file, nil
		}
		last = err
		if report != nil {
			report(path, err)
		}
	}
	return nil, fmt.Errorf("none of the %d checkpoints in %s is whole; the oldest: %w", len(found), folder, last)
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// weightPrefix finds what stands in front of timm's names in the file.
func weightPrefix(file *core.File, teacher bool) (string, error) {
	var prefixes []string
	for _, name := range file.Names() {
		if p, ok := strings.CutSuffix(name, firstWeight); ok && !strings.HasPrefix(name, "optimizer.") {
			prefixes = append(prefixes, p)
		}
	}
	want := []string{studentPrefix, ""}
	if teacher {
		want = []string{teacherPrefix}
	}
	for _, w := range want {
		if slices.Contains(prefixes, w) {
			return w, nil
		}
	}
	switch {
	case teacher:
		return "", &configs.Error{Key: "network", Value: string(NetworkTeacher), Source: file.Path,
			Problem: "the file holds no averaged teacher: its objective trains without one", Hint: "take the trained network"}
	case len(prefixes) == 1:
		return prefixes[0], nil // "model.", "module.", "encoder." of other tools
	case len(prefixes) > 1:
		return "", fmt.Errorf("%s: holds %d backbones (under %s); export one of them alone", file.Path, len(prefixes), strings.Join(prefixes, ", "))
	}
	return "", fmt.Errorf("%s: holds no Vision Transformer in timm's names: no tensor is called %s (the file begins with %s)",
		file.Path, firstWeight, strings.Join(firstNames(file, 3), ", "))
}

func firstNames(file *core.File, n int) []string {
	names := file.Names()
	if len(names) == 0 {
		return []string{"nothing: it has no tensors"}
	}
	return names[:min(n, len(names))]
}

// fileConfig returns the architecture: the file's own, or that of the name.
func fileConfig(file *core.File, prefix, name string) (vit.Config, error) {
	text := file.Meta[metaModel]
	if text == "" && name == "" {
		hint := "name its architecture with --model, for instance vit_base_patch16_224"
		if fit := fittingVariants(file, prefix); len(fit) > 0 {
			hint = "its tensors are those of " + strings.Join(fit, " or ") + ": name it with --model"
		}
		return vit.Config{}, &configs.Error{Key: "model", Source: file.Path, Problem: "the file says nothing of the model's configuration", Hint: hint}
	}
	var named vit.Config
	if name != "" {
		var err error
		if named, err = vit.Variant(name); err != nil {
			return vit.Config{}, &configs.Error{Key: "model", Value: name, Problem: err.Error()}
		}
		named = named.Normalized()
	}
	if text == "" {
		return named, nil
	}
	var c vit.Config
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("%s: its model configuration is not one that this version of vittool knows: %w", file.Path, err)
	}
	c = c.Normalized()
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%s: %w", file.Path, err)
	}
	if name != "" && (named.Dim != c.Dim || named.Depth != c.Depth || named.Heads != c.Heads || named.Patch != c.Patch) {
		return c, &configs.Error{Key: "model", Value: name, Hint: "leave it out: the file says what it is",
			Problem: fmt.Sprintf("%s holds a %s (width %d, depth %d, heads %d, patch %d), not a %s", file.Path, c.Name, c.Dim, c.Depth, c.Heads, c.Patch, name)}
	}
	return c, nil
}

// fittingVariants lists the known models whose tensors the file has, at most
// three.
func fittingVariants(file *core.File, prefix string) []string {
	var fit []string
	for _, name := range vit.Variants() {
		c, err := vit.Variant(name)
		if err != nil || !fits(file, prefix, c) {
			continue
		}
		if fit = append(fit, name); len(fit) == 3 {
			break
		}
	}
	return fit
}

// fits tells whether a file has every tensor of a model in its shape, and no more
// blocks, whatever else there is and whatever values they hold.
func fits(file *core.File, prefix string, c vit.Config) bool {
	if _, deeper := file.Get(fmt.Sprintf("%sblocks.%d.norm1.weight", prefix, c.Depth)); deeper {
		return false
	}
	for _, w := range c.Weights() {
		if t, ok := file.Get(prefix + w.Name); !ok || !t.Shape.Equal(w.Shape) {
			return false
		}
	}
	return true
}

// ImageNet's normalisation, which most published weights were trained with.
var (
	imageNetMean = []float64{0.485, 0.456, 0.406}
	imageNetStd  = []float64{0.229, 0.224, 0.225}
)

func fileNormalisation(file *core.File, channels int, o LoadOptions) (mean, std []float64, err error) {
	pick := func(key string, given, imageNet []float64, positive bool) ([]float64, error) {
		v := slices.Clone(given)
		if len(v) == 0 && file.Meta[key] != "" {
			if err := json.Unmarshal([]byte(file.Meta[key]), &v); err != nil {
				return nil, fmt.Errorf("%s: metadata %q is not a list of numbers: %w", file.Path, key, err)
			}
		}
		if len(v) == 0 && channels == 3 {
			v = slices.Clone(imageNet)
		} else if len(v) == 0 {
			v = slices.Repeat([]float64{0.5}, channels)
		}
		if len(v) != channels {
			return nil, fmt.Errorf("%s: the normalisation's %s has %d values for %d channels", file.Path, key, len(v), channels)
		}
		for _, x := range v {
			if math.IsInf(x, 0) || math.IsNaN(x) || positive && x <= 0 {
				return nil, fmt.Errorf("%s: the normalisation's %s holds %g", file.Path, key, x)
			}
		}
		return v, nil
	}
	if mean, err = pick(metaMean, o.Mean, imageNetMean, false); err != nil {
		return nil, nil, err
	}
	std, err = pick(metaStd, o.Std, imageNetStd, true)
	return mean, std, err
}

// fill copies the file's tensors into the backbone. All faults are told in one
// error.
func (m *Model) fill(file *core.File, prefix string) error {
	var faults []string
	known := map[string]bool{}
	for _, p := range m.Backbone.Weights() {
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
		if !ok || known[t.Name] || strings.HasPrefix(t.Name, "optimizer.") {
			continue
		}
		if besideBackbone(name) {
			m.Ignored = append(m.Ignored, t.Name)
			continue
		}
		faults = append(faults, fmt.Sprintf("%s %v belongs to no %s", t.Name, t.Shape, m.Config.Name))
	}
	if len(faults) == 0 {
		return nil
	}
	slices.Sort(m.Ignored)
	const shown = 6
	more := ""
	if n := len(faults) - shown; n > 0 {
		faults, more = faults[:shown], fmt.Sprintf("; and %d more", n)
	}
	return fmt.Errorf("%s does not hold the weights of a %s of %d×%d pixels: %s%s", file.Path, m.Config.Name, m.Config.ImageH, m.Config.ImageW, strings.Join(faults, "; "), more)
}

// besideBackbone tells names that files of other tools carry next to a
// backbone and that change nothing about its features: a classifier, the
// decoder and mask token of MAE.
func besideBackbone(name string) bool {
	for _, p := range []string{"head.", "head_dist.", "fc_norm.", "decoder_", "decoder.", "mask_token"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
