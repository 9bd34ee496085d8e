package sdk_test

import (
	"fmt"

	"github.com/vittool/vittool/plugins/sdk"
)

// Pair finds the other crop of an image among those of the batch.
type Pair struct {
	Dim  int     `option:"dim" min:"1" help:"size of the compared vectors"`
	Temp float64 `option:"temperature" above:"0" help:"temperature of the softmax"`
	sdk.TwoCrops
}

func (o *Pair) Info() sdk.Info { return sdk.Info{Name: "pair", Version: "1.0.0"} }

func (o *Pair) Plan(b *sdk.Builder) error {
	one, two := b.View("crop_1", o.Crop(b, 0), sdk.Flip(.5)), b.View("crop_2", o.Crop(b, 1), sdk.Flip(.5))
	x := b.Student("student", one, sdk.With(two)).Image() // [2B,D], crop after crop
	head := sdk.MLP{Widths: []int{2048, o.Dim}, Norm: true, LastNorm: sdk.PlainNorm}
	x = b.L2Normalize(b.MLP("projector", x, head))
	b.CollapseMetric(b.ViewRows(x, 0, 2))
	return b.Minimize(b.Contrast(b.ViewRows(x, 0, 2), b.ViewRows(x, 1, 2), o.Temp))
}

func ExampleTry() {
	objective := &Pair{Dim: 128, Temp: 0.2, TwoCrops: sdk.BYOLCrops(0.2, 1)}
	run := sdk.Run{Batch: 4, Backbone: sdk.Backbone{Family: "vit", Dim: 384, Patch: 16, Height: 224, Width: 224, Channels: 3, PrefixTokens: 1}}
	trial, err := sdk.Try(objective, run, map[string]any{"dim": 64, "crop_size": 96})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range trial.Plan.Params {
		fmt.Println(p.Name, p.Shape)
	}
	fmt.Println(trial.Plan.Views[1].Width)
	_, err = sdk.Try(objective, run, map[string]any{"crop_scale": []float64{0.9, 0.2}})
	fmt.Println(err)
	// Output:
	// projector.0.weight [2048 384]
	// projector.0.bias [2048]
	// projector.1.weight [2048]
	// projector.1.bias [2048]
	// projector.3.weight [64 2048]
	// projector.3.bias [64]
	// 96
	// crop_scale is [0.9, 0.2]; the smaller share comes first
}
