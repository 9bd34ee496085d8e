// Package ops holds the operators of a graph, forward beside backward, one kind a file. Each
// takes the graph first and nodes after it, states the shapes of its operands and of its
// result in its comment, and records a wrong shape as the graph's error.
//
// Most operators serve several objectives. Some are the mathematics of one method alone and
// say so in their comments: CodebookUpdate and NearestRow of vector quantisers (the
// tokenizers of BEiT), RelativeBias of BEiT's attention, Corrupt of SiT, RestoreTokens of
// MAE's decoder, the losses over pairs of views of viewloss.go (DINO, MoCo v3, SiT).
package ops
