// Package sdk is the kit that an objective is written with.
//
// An objective is a struct whose fields are its options and whose Plan method says which images it
// wants, which features the backbone computes from them, which parameters it adds and how the loss
// follows. The host compiles that plan into its own graph, differentiates it and runs it at the
// speed of a built-in; there is no backward pass to write, no memory to manage and no remote call
// to see:
//
//	type SimMIM struct {
//		Ratio float64 `option:"mask_ratio" above:"0" below:"1" help:"share of the image that is masked"`
//	}
//
//	func (o *SimMIM) Info() sdk.Info { return sdk.Info{Name: "simmim", Version: "1.0.0"} }
//
//	func (o *SimMIM) Plan(b *sdk.Builder) error {
//		view := b.View("image", sdk.RandomResizedCrop(0.67, 1), sdk.Flip(0.5))
//		...
//		return b.Minimize(b.PatchL1(pixels, b.PatchPixels(view, sdk.ChannelFirst), mask))
//	}
//
//	func main() { sdk.Serve(&SimMIM{Ratio: 0.6}) }
//
// A loss that the operators cannot express is computed by the objective, in its own process, on
// shared memory: see Targeter and Evaluator.
//
// The package imports nothing of the host. It stands on the types of plans (plugins/plan), the
// protocol (plugins/pb) and go-plugin, so a plugin links neither the engine nor the data code.
package sdk
