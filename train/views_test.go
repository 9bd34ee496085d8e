package train

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/plugins/sdk"
)

// viewsPlan is an objective whose one view has the given options.
type viewsPlan struct{ options []sdk.ViewOption }

func (*viewsPlan) Info() sdk.Info { return sdk.Info{Name: "views", Version: "0.1.0"} }

func (o *viewsPlan) Plan(b *sdk.Builder) error {
	image := b.View("image", o.options...)
	return b.Minimize(b.Mean(b.Student("encoder", image).Tokens()))
}

// numberedViews are views with a number in one place, which the name of the place gives.
var numberedViews = map[string]func(x float64) []sdk.ViewOption{
	"brightness": func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.ColorJitter(1, x, 0, 0, 0)} },
	"contrast":   func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.ColorJitter(1, 0, x, 0, 0)} },
	"saturation": func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.ColorJitter(1, 0, 0, x, 0)} },
	"hue":        func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.ColorJitter(1, 0, 0, 0, x)} },
	"sigma_min":  func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.GaussianBlur(1, x, 1000)} },
	"sigma_max":  func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.GaussianBlur(1, .1, x)} },
	"kernel": func(x float64) []sdk.ViewOption {
		return []sdk.ViewOption{sdk.Augment(sdk.Augmentation{Kind: sdk.BlurAugmentation, SigmaMin: 1, SigmaMax: 1, Kernel: int(x)})}
	},
	"zero_border": func(x float64) []sdk.ViewOption {
		return []sdk.ViewOption{sdk.Augment(sdk.Augmentation{Kind: sdk.BlurAugmentation, SigmaMin: 1, SigmaMax: 1, Kernel: int(x), ZeroBorder: true})}
	},
	"probability":   func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.Grayscale(x)} },
	"resize_factor": func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.CenterCrop(x)} },
	"scale_min":     func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.RandomResizedCrop(x, 1)} },
	"scale_max":     func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.RandomResizedCrop(.25, x)} },
	"std": func(x float64) []sdk.ViewOption {
		return []sdk.ViewOption{sdk.Normalize([]float64{0, 0, 0}, []float64{1, 1, x})}
	},
	"mean": func(x float64) []sdk.ViewOption {
		return []sdk.ViewOption{sdk.Normalize([]float64{0, x, 0}, []float64{1, 1, 1})}
	},
	"size":  func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.Size(32, int(x))} },
	"means": func(x float64) []sdk.ViewOption { return []sdk.ViewOption{sdk.Normalize(make([]float64, int(x)), nil)} },
}

// A plan is refused exactly where the loader would refuse its views: the limits are equal.
func TestPlanHasTheLimitsOfTheLoader(t *testing.T) {
	numbers := []float64{-1, 1e-50, 1e-9, .0625, .25, .5, .51, 1, 1.0001, 2, 3, 15, 16, 16.5, 17, 32, 99, 100, 100.5, 150, 998, 999, 1000, 1001, 1 << 14, 1<<14 + 4, 1e39}
	cfg := small(t)
	network := program.BackboneInfo(must.Get(cfg.Backbone())(t), []float64{0, 0, 0}, []float64{1, 1, 1})
	for place, views := range numberedViews {
		whole := slices.Contains([]string{"kernel", "zero_border", "size", "means"}, place)
		accepted, refused := 0, 0
		for _, x := range numbers {
			if whole && (x != math.Trunc(x) || x < 1 || x > 1e6) || place == "size" && int(x)%network.Patch != 0 {
				continue // no number of pixels, or no whole number of patches
			}
			trial := must.Get(sdk.Try(&viewsPlan{views(x)}, sdk.Run{Backbone: network, Batch: 2, Steps: 10, StepsPerEpoch: 10}, nil))(t)
			checked, planErr := plan.FromProto(trial.Plan.ToProto(), network)
			if checked == nil {
				checked = trial.Plan
				checked.Views[0].Height, checked.Views[0].Width = cmp.Or(checked.Views[0].Height, network.Height), cmp.Or(checked.Views[0].Width, network.Width)
			}
			loaderErr := data.CheckViews(viewSpecs(checked, cfg), 3)
			if (planErr == nil) != (loaderErr == nil) {
				t.Errorf("%s = %v: the plan's check says %v, the loader's %v", place, x, planErr, loaderErr)
			}
			if planErr == nil {
				accepted++
			} else {
				refused++
			}
		}
		if accepted == 0 || refused == 0 {
			t.Errorf("%s: %d numbers are accepted and %d refused", place, accepted, refused)
		}
	}
}

// Views that can't be made are the plugin's fault, and leave no folder behind.
func TestImpossibleViews(t *testing.T) {
	cfg := thirdParty(t, "views")
	_, err := Pretrain(context.Background(), cfg, Options{})
	var e *host.PluginError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), `view "image": augmentation 0: color_jitter: brightness = 150: is out of range; valid is 0 to 100`) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(cfg.Run.Out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the run folder: %v", err)
	}
}
