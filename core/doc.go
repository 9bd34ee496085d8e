// Package core is the engine under vittool: named parameters, a graph of
// float32 operators with their gradients, optimizers, schedules, counter-based
// random numbers and safetensors files.
//
// A step of training looks like this from above:
//
//	store := core.NewStore()
//	w, err := store.Add("head.weight", core.Shape{10, 192}, core.Init{Kind: "trunc_normal", A: 0.02, B: 2}, seed)
//	g := core.NewGraph(engine)
//	x := g.Input("features", core.Shape{64, 192})
//	y := g.Linear(x, g.Param(w), nil)
//	loss := g.Mean(g.Mul(y, y))
//	exe, err := g.Compile(loss)           // the first wrong shape is reported here
//	copy(x.Value(), features)
//	err = exe.Run()                       // loss.Value()[0], exe.Grad(w)
//	optimizer.Step(exe.Parameters(), exe.Grad, lr, weightDecay)
//
// A compiled graph is gorgonia's, executed by a gorgonia.VM of our own (machine.go);
// gorgonia is an implementation detail that no other package sees. Every arithmetic
// kernel lives in core/internal/f32.
package core
