// Package bench measures vittool on the machine at hand: what its cores could
// do at best, how near each kernel and a whole training step come to that, what
// the plugin boundary costs, and, where PyTorch is installed, how the same step
// does there.
//
// Times of two sides that are compared come from one session in which the sides
// take turns ([Interleave]), and every figure is a minimum, a median and a
// maximum: on a machine with neighbours a single number says little.
//
// Model FLOPs are 2 × multiply-adds of matrix products and attention; a training
// step counts three times its forward pass.
package bench
