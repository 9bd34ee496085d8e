// Package configs holds the settings of a run: one typed struct, its defaults, strict loading from
// presets, files, the environment and the command line, and the checks that run before any work
// starts.
//
// The struct in this file is the only place where a setting exists: `vittool config show --explain`
// prints its doc comments, its tags carry the permitted values, and [Default] carries the defaults.
package configs

import "github.com/vittool/vittool/backbone"

// Config is every setting of a pre-training run, in sections. A key is written section.name, for
// instance train.batch_size.
type Config struct {
	Objective Objective `mapstructure:"objective"`
	Model     Model     `mapstructure:"model"`
	Data      Data      `mapstructure:"data"`
	Train     Train     `mapstructure:"train"`
	Run       Run       `mapstructure:"run"`
	Eval      Eval      `mapstructure:"eval" when:"set"`
}

// Objective selects the task that the network is trained for.
type Objective struct {
	// Name of the objective: a built-in one, or the name that the plugin gives itself.
	Name string `mapstructure:"name"`
	// Path of a third-party plugin's executable; empty runs the built-in objective of that name.
	Plugin string `mapstructure:"plugin"`
	// Where the objective runs: in a process of its own, or inside vittool (same bits, for
	// debugging).
	Mode string `mapstructure:"mode" oneof:"process inproc" resume:"free"`
	// Seconds that the objective may take to start or to answer one call before it counts as hung
	// and is started again.
	Deadline float64 `mapstructure:"deadline" range:"0.1 86400" resume:"free"`
	// Options of the objective itself, checked against the schema that it declares (see `vittool
	// plugin info NAME`).
	Options map[string]any `mapstructure:"-"`
}

// Model selects the network.
type Model struct {
	// Name of the backbone, as in timm.
	Name string `mapstructure:"name"`
	// Height and width in pixels that the network is trained at, or one number for both; empty
	// takes the model's own.
	ImageSize []int `mapstructure:"image_size" range:"1 16384" lengths:"0 1 2"`
	// Probability that a residual branch is dropped in the last block, rising linearly from 0 in
	// the first; 0 takes the value that the objective recommends.
	DropPath float64 `mapstructure:"drop_path" range:"0 0.99"`
	// Initial value of the layer scale, where the objective does not ask for one itself; 0 leaves
	// it out.
	LayerScale float64 `mapstructure:"layer_scale" range:"0 10"`
	// Factor of the channels of a convolutional network: 0.25 makes resnet18 one of 16 channels in
	// the stem, where 1 has 64.
	Width float64 `mapstructure:"width" range:"0.001 64" when:"network=stages"`
	// Starts the last batch norm of each residual branch at zero, so that a fresh block passes its
	// input on (Goyal et al. 2017); for convolutional networks.
	ZeroInitLast bool `mapstructure:"zero_init_last" when:"network=stages"`
	// Families that know the name; nil means all of vittool's.
	Families backbone.Families `mapstructure:"-"`
}

// Data says which images are read and how.
type Data struct {
	// Folder of images (flat or with a subfolder for each class), list file, or demo: for drawn
	// scenes.
	Path string `mapstructure:"path" resume:"free"`
	// Channels of the images that the network reads.
	Channels int `mapstructure:"channels" range:"1 64"`
	// Goroutines that decode images ahead of training; 0 takes one for each thread.
	Workers int `mapstructure:"workers" range:"0 1024" resume:"free"`
	// Effect of a file that can't be read: it is skipped, counted and listed, or it fails the run
	// at once.
	OnError string `mapstructure:"on_error" oneof:"skip fail" resume:"free"`
	// Share of unreadable files above which the run stops although they are skipped.
	MaxFailed float64 `mapstructure:"max_failed" range:"0 1" resume:"free"`
	// Resize for training images: bit-exact to Pillow, or nfnt/resize.
	Resampler string `mapstructure:"resampler" oneof:"pillow nfnt"`
	// Mean of each channel on the scale 0 to 1; empty takes ImageNet's for three channels and 0.5
	// otherwise.
	Mean []float64 `mapstructure:"mean" range:"0 1" lengths:"*"`
	// Standard deviation of each channel on the scale 0 to 1; empty takes ImageNet's for three
	// channels and 0.5 otherwise.
	Std []float64 `mapstructure:"std" range:"0.000001 10" lengths:"*"`
	// Smallest and largest share of the image that a random crop covers, for views whose crop the
	// objective leaves open.
	CropScale []float64 `mapstructure:"crop_scale" range:"0.0001 1" lengths:"2"`
	// Lets the objective's random horizontal flip happen; false removes it, for images with a
	// left and a right.
	Flip bool `mapstructure:"flip"`
	// Images whose header claims more pixels than this are refused before they are decoded.
	MaxPixels int `mapstructure:"max_pixels" range:"1 10000000000"`
	// Mebibytes of memory that may hold decoded images from one epoch to the next; 0 reads them
	// again each time.
	Cache int `mapstructure:"cache" range:"0 1048576" resume:"free"`
	// Folder of cached targets, the outputs of frozen networks for views that never change (the
	// tokens of BEiT's tokenizer, with flip false and crop_scale from 1 to 1), for further epochs
	// and runs; empty takes one in the user's cache folder, none keeps it in memory only.
	TargetCache string `mapstructure:"target_cache" resume:"free"`
}

// FixedViews reports whether a view whose crop the objective leaves open is the same in every
// epoch: the whole image, unflipped.
func (d Data) FixedViews() bool {
	return !d.Flip && len(d.CropScale) == 2 && d.CropScale[0] == 1 && d.CropScale[1] == 1
}

// Batches say how many images a run reads, and how many of them a step takes.
type Batches struct {
	// Epochs of the run. It ends with the last image of the last one: its last step takes the
	// micro-batches that are left.
	Epochs int `mapstructure:"epochs" range:"0 1000000"`
	// Steps of the optimizer in all; when not 0 it takes the place of epochs.
	Steps int `mapstructure:"steps" range:"0 1000000000"`
	// Images of a micro-batch: one forward and backward pass.
	BatchSize int `mapstructure:"batch_size" range:"1 1000000"`
	// Micro-batches whose gradients are averaged into one step of the optimizer. A step takes them
	// across the end of an epoch.
	Accumulate int `mapstructure:"accumulate" range:"1 1000000"`
	// Computes the loss over all micro-batches of a step as over one batch, for losses that compare
	// the images of a batch (MoCo v3, SimCLR), in the memory of one micro-batch: features are kept,
	// and each micro-batch passes the network twice.
	GradCache bool `mapstructure:"grad_cache" when:"set"`
	// Activations that the backward pass computes again instead of keeping them: none, or the
	// insides of transformer and residual blocks, which saves memory for a quarter more arithmetic.
	// Results are equal.
	Recompute string `mapstructure:"recompute" oneof:"none blocks" resume:"free"`
	// Leaves out the last micro-batch of an epoch when it is not full: an epoch is the images that
	// are read.
	DropLast bool `mapstructure:"drop_last"`
}

// Rate is the learning rate of each step: a linear warm-up to a peak, then a cosine.
type Rate struct {
	// Peak learning rate for 256 images a step; the rate used is base_lr × batch_size × accumulate
	// / 256.
	BaseLR float64 `mapstructure:"base_lr" range:"0 1000"`
	// Peak learning rate as it is; when not 0 it takes the place of base_lr.
	LR float64 `mapstructure:"lr" range:"0 1000"`
	// Learning rate at the end of the cosine.
	MinLR float64 `mapstructure:"min_lr" range:"0 1000"`
	// Epochs after which the learning rate is divided by ten (InstDisc, MoCo v1), rising; empty takes
	// the cosine.
	Milestones []int `mapstructure:"milestones" range:"1 1000000" lengths:"*" when:"set"`
	// Epochs of linear warm-up from 0, fractions allowed.
	WarmupEpochs float64 `mapstructure:"warmup_epochs" range:"0 1000000"`
	// How warm-up and cosine count: epoch takes the fraction of epochs that is done (MAE, MoCo v3);
	// iteration is a table of steps whose warm-up includes both of its ends (BEiT, DINO, SiT).
	Schedule string `mapstructure:"schedule" oneof:"epoch iteration"`
}

// Train is the optimization. The keys of its groups stand beside its own.
type Train struct {
	Batches `mapstructure:",squash"`
	// Optimizer.
	Optimizer string `mapstructure:"optimizer" oneof:"adamw sgd lars"`
	Rate      `mapstructure:",squash"`
	// Decoupled weight decay (adamw) or L2 penalty (sgd, lars) of parameters that decay: matrices,
	// not biases and norms.
	WeightDecay float64 `mapstructure:"weight_decay" range:"0 100"`
	// Weight decay that a cosine over the whole run leads to from weight_decay; 0 keeps
	// weight_decay throughout.
	WeightDecayEnd float64 `mapstructure:"weight_decay_end" range:"0 100"`
	// Decay of the first moment (adamw).
	Beta1 float64 `mapstructure:"beta1" range:"0 0.9999999"`
	// Decay of the second moment (adamw).
	Beta2 float64 `mapstructure:"beta2" range:"0 0.9999999"`
	// Added to the root of the second moment (adamw).
	Eps float64 `mapstructure:"eps" range:"1e-16 1"`
	// Momentum (sgd, lars).
	Momentum float64 `mapstructure:"momentum" range:"0 0.9999999"`
	// Constants of the layer-wise adaptive rate scaling.
	LARS LARS `mapstructure:"lars" when:"optimizer=lars"`
	// Largest norm of the gradient; a larger one is scaled down. 0 leaves it alone.
	ClipNorm float64 `mapstructure:"clip_norm" range:"0 1e12"`
	// Norm that clip_norm bounds: over all tensors together, or of each tensor by itself (DINO,
	// SiT).
	ClipMode string `mapstructure:"clip_mode" oneof:"global tensor"`
}

// LARS is layer-wise adaptive rate scaling (You et al., arXiv:1708.03888), train.optimizer=lars.
// The published forms differ in a few places, which are settings: the defaults are MoCo v3's and
// MAE's form.
type LARS struct {
	// Trust coefficient η: the update of a tensor has η times the tensor's norm, before the
	// learning rate.
	Trust float64 `mapstructure:"trust" range:"0 1000"`
	// Norm that the trust ratio divides by: of the gradient with its weight decay (MoCo v3, SimCLR,
	// PixPro), or of the raw gradient plus weight_decay times the tensor's norm (solo-learn, LARC
	// of apex).
	Ratio string `mapstructure:"ratio" oneof:"decayed raw"`
	// Added to that norm.
	Eps float64 `mapstructure:"eps" range:"0 1"`
	// Quantity that momentum accumulates: the scaled gradient, or the step with its learning rate
	// (SimCLR in TensorFlow).
	Accumulate string `mapstructure:"accumulate" oneof:"gradient step"`
	// Scales biases and norms too, as LARC of apex does (SwAV).
	All bool `mapstructure:"all"`
	// Nesterov momentum.
	Nesterov bool `mapstructure:"nesterov"`
	// Bounds the trust ratio so that a step is at most the learning rate times the gradient.
	Clip bool `mapstructure:"clip"`
}

// Run is the output of a run, its seed, and the threads it uses.
type Run struct {
	// Folder of the run; empty takes the first free name under runs/.
	Out string `mapstructure:"out" resume:"free"`
	// Seed of every random choice; the same seed gives the same bits.
	Seed int `mapstructure:"seed" range:"0 9007199254740991"`
	// Threads of the kernels; 0 takes every core. The result doesn't depend on it.
	Threads int `mapstructure:"threads" range:"0 4096" resume:"free"`
	// How often a checkpoint is written, besides the last one: "500 steps", "2 epochs" (after the
	// step that reads the last image of one) or "never".
	CheckpointEvery Interval `mapstructure:"checkpoint_every" resume:"free"`
	// Checkpoints that are kept; older ones are removed. 0 keeps all.
	Keep int `mapstructure:"keep" range:"0 1000000" resume:"free"`
	// Steps between two lines of metrics.
	LogEvery int `mapstructure:"log_every" range:"1 1000000000" resume:"free"`
	// How often pictures are drawn, besides the last ones: "500 steps", "5 epochs" or "never".
	PicturesEvery Interval `mapstructure:"pictures_every" resume:"free"`
}

// Eval is the evaluation of features while a run goes on: labelled images are classified by their
// nearest neighbors, as `vittool eval knn` does. No weight depends on it.
type Eval struct {
	// Folder with subfolders train and test (or val) of labelled images, or demo:, whose features are
	// evaluated after the last step and every eval.every; empty evaluates nothing.
	Data string `mapstructure:"data" resume:"free"`
	// How often features are evaluated, besides after the last step: "1 epoch", "500 steps" or
	// "never".
	Every Interval `mapstructure:"every" resume:"free"`
	// Neighbors that vote for the class of a test image.
	K int `mapstructure:"k" range:"1 1000000" resume:"free"`
	// Temperature of the weights of votes.
	Temperature float64 `mapstructure:"temperature" range:"0.0001 1000" resume:"free"`
	// Images of each of the two sets at most, the same ones each time and of each class in
	// proportion, for a quick figure; 0 takes all.
	Limit int `mapstructure:"limit" range:"0 1000000000" resume:"free"`
}

// Default returns the defaults of every setting: a ViT-Ti/4 on 32-pixel images with MAE's optimizer
// (He et al. 2022, appendix A.1).
func Default() Config {
	return Config{
		Objective: Objective{
			Name:     "mae",
			Mode:     "process",
			Deadline: 120,
		},
		Model: Model{
			Name:  "vit_tiny_patch4_32",
			Width: 1,
		},
		Data: Data{
			Path:      "demo:",
			Channels:  3,
			OnError:   "skip",
			MaxFailed: 0.01,
			Resampler: "pillow",
			CropScale: []float64{0.2, 1},
			Flip:      true,
			MaxPixels: 100_000_000,
		},
		Train: Train{
			Batches:     Batches{Epochs: 100, BatchSize: 128, Accumulate: 1, Recompute: "none", DropLast: true},
			Optimizer:   "adamw",
			Rate:        Rate{BaseLR: 1.5e-4, WarmupEpochs: 5, Schedule: "epoch"},
			WeightDecay: 0.05,
			Beta1:       0.9,
			Beta2:       0.95,
			Eps:         1e-8,
			Momentum:    0.9,
			LARS:        LARS{Trust: 0.001, Ratio: "decayed", Accumulate: "gradient"},
			ClipMode:    "global",
		},
		Run: Run{
			CheckpointEvery: Interval{Epochs: 1},
			Keep:            2,
			LogEvery:        10,
			PicturesEvery:   Interval{Epochs: 5},
		},
		Eval: Eval{K: 20, Temperature: 0.07},
	}
}

// PeakLR is the learning rate at the end of the warm-up: train.lr, or train.base_lr scaled linearly
// with the images of one step (Goyal et al. 2017).
func (t Train) PeakLR() float64 {
	if t.LR != 0 {
		return t.LR
	}
	return t.BaseLR * float64(t.BatchSize) * float64(t.Accumulate) / 256
}

// LossBatch is the number of images that the loss compares: those of a micro-batch, or of a whole
// step.
func (t Train) LossBatch() int {
	if t.GradCache {
		return t.BatchSize * t.Accumulate
	}
	return t.BatchSize
}

// Size returns the height and width set by model.image_size, or zeros when the model's own size
// applies.
func (m Model) Size() (height, width int) {
	switch len(m.ImageSize) {
	case 1:
		return m.ImageSize[0], m.ImageSize[0]
	case 2:
		return m.ImageSize[0], m.ImageSize[1]
	}
	return 0, 0
}

// Mean and standard deviation of ImageNet's training images, used by timm and torchvision.
var (
	imageNetMean = []float64{0.485, 0.456, 0.406}
	imageNetStd  = []float64{0.229, 0.224, 0.225}
)

// Normalization returns mean and standard deviation for each of d.Channels channels, the defaults
// filled in and a single value repeated.
func (d Data) Normalization() (mean, std []float64) {
	return d.perChannel(d.Mean, imageNetMean), d.perChannel(d.Std, imageNetStd)
}

func (d Data) perChannel(set, imageNet []float64) []float64 {
	out := make([]float64, d.Channels)
	for c := range out {
		switch {
		case len(set) == 1:
			out[c] = set[0]
		case c < len(set):
			out[c] = set[c]
		case len(set) == 0 && d.Channels == len(imageNet):
			out[c] = imageNet[c]
		default:
			out[c] = 0.5
		}
	}
	return out
}
