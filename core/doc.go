// Package core is the graph of float32 operators under vittool, its reverse walk and its
// compiler. Around it stand the rooms of the engine: tensors and their files (package
// tensor), parameters (core/param), the device (core/device), the operators (core/ops),
// optimizers and schedules (core/optim), and the kernels (core/internal/f32).
//
// A step of training looks like this from above:
//
//	store := param.NewStore()
//	w, err := store.Add("head.weight", tensor.Shape{10, 192}, param.Init{Kind: "trunc_normal", A: 0.02, B: 2}, seed)
//	g := core.NewGraph(cpu)
//	x := g.Input("features", tensor.Shape{64, 192})
//	y := ops.Linear(g, x, g.Param(w), nil)
//	loss := ops.Mean(g, ops.Mul(g, y, y))
//	exe, err := g.Compile(loss)           // the first wrong shape is reported here
//	copy(x.Value(), features)
//	err = exe.Run()                       // loss.Value()[0], exe.Grad(w)
//	optimizer.Step(exe.Parameters(), exe.Grad, lr, weightDecay)
//
// gorgonia types the nodes of a compiled graph, checks them and orders them; its symbolic
// Grad is the cross-check of the reverse walk in the tests. The reverse walk, the memory plan,
// the machine that runs the steps and all arithmetic are this module's own. No other package
// sees gorgonia.
package core
