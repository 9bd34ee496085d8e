// Package pictures draws what people look at: grids of images with captions,
// loss curves, tables of confusion. It knows nothing of models or runs; it is
// given images and numbers and returns an image to store as PNG.
//
// Pixels here are for the eye only. Small images are enlarged by whole
// factors so that their pixels stay visible, large ones are shrunk with
// Lanczos (nfnt/resize); nothing drawn here goes back into training.
package pictures
