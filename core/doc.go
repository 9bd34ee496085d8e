// Package core holds the graph of float32 operators, its reverse-mode differentiation and its
// compiler. The other packages of the engine are tensors and their files (tensor), parameters
// (core/param), the device (core/device), the operators (core/ops), optimizers and schedules
// (core/optim), and the kernels (core/internal/f32).
//
// One training step:
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
// gorgonia checks the types of the nodes of a compiled graph and orders them; its symbolic Grad is
// the cross-check of reverse.go in the tests. The backward steps, the layout of the arena, the
// machine that runs the steps and all arithmetic belong to this module. No other package imports
// gorgonia.
//
// From operators to a run, in files: graph.go and operator.go record operators, compile.go selects
// them, reverse.go adds the backward steps, recompute.go the recomputed ones, memory.go places the
// buffers, builder.go hands the steps to gorgonia, machine.go and executable.go run them.
package core
