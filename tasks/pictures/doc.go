// Package pictures draws images for people: grids of pictures with captions and loss curves.
// It knows neither models nor runs: it takes images and numbers and returns an image to
// store as PNG.
//
// These pixels are for the eye alone and never enter training. Small pictures are enlarged by whole
// factors, so that their pixels stay visible; large ones are shrunk with Lanczos (nfnt/resize).
package pictures
