// Package backbone is the contract of a network family: the interfaces by which training,
// evaluation and the compiler of plans use a network without knowing its kind.
//
// A [Family] lists models by timm's names and reads their configurations. A [Config] is one network
// as a value: its sizes, the names, shapes and initial values of its tensors, and the checks of its
// use. [Config.New] creates these tensors in a store and returns a [Network], whose forward pass
// maps images [B, C, H, W] to named [Outputs]. The plain list of families is backbone/families; a
// program that embeds vittool, or a test, passes a list of its own.
//
// # A vision transformer
//
// Package vit has all outputs: class token, tokens, patch tokens, their mean, the patch tokens as a
// map, a tap after each block, and attention. Its passes take keep lists, masks and stochastic
// depth.
//
// # A convolutional network
//
// Package cnn implements the same interfaces for residual networks, as follows.
//
//   - Info: Patch is the total stride, Dim the channels of the last map, StageDims the channels of
//     each stage, Depth the number of stages, Heads and PrefixTokens zero. A plan that needs tokens is
//     refused for a network with StageDims.
//   - Weights: the running statistics of batch norms are listed with Buffer set, under timm's names
//     (layer1.0.bn1.running_mean). [Create] puts them into the store as buffers, so that they are
//     part of checkpoints and exports, take no gradient, and are committed only by a good step.
//   - Forward: Options.Train chooses between statistics of the batch and running ones.
//     [Options.RefuseMasks] refuses keep lists and masks by name; Options.DropPath has one branch a
//     block.
//   - Outputs: [Map] is the last feature map [B, C, h, w], [Pooled] its spatial mean, Tap(i) the map
//     of stage i and After(i) the outputs of a network that ends there. [Class], [Tokens], [PatchTokens]
//     and Attention are refused with [NoOutput].
//   - CheckImage permits every image: a part of a cell at the border counts as one.
//   - Require refuses class tokens, position tables and the like by name.
package backbone
