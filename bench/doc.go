// Package bench measures vittool on the machine at hand: the peak of its cores, the share of it
// that each kernel and a whole training step reach, the cost of the plugin boundary, and, where
// PyTorch is installed, the same step there.
//
// Times of two sides that are compared come from one session in which the sides take turns
// ([Interleave]), and every figure is a minimum, a median and a maximum: on a machine with
// neighbors a single number says little.
//
// Model FLOPs are 2 × multiply-adds of matrix products and attention; a training step counts three
// times its forward pass.
package bench
