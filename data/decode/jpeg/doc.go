// Package jpeg decodes baseline JPEG files to the bits that Pillow reads,
// which are those of libjpeg-turbo: its "islow" inverse cosine transform, its
// interpolation of subsampled chroma, its integer conversion to RGB.
//
// A picture may be reconstructed in part. The entropy code has to be walked
// from the first block, but the transform, the interpolation and the colours
// are only computed where the wanted box needs them, and the pixels are those
// that cutting the box out of the whole picture would give.
//
// What the package does not read (progressive and arithmetic files, more than
// 8 bits, CMYK, several scans) it says at the header, with [ErrUnsupported];
// another decoder is then to be asked. A file that is cut short or damaged is
// an error, never a half-filled picture.
//
// The format is ITU-T T.81; the sections named in comments are its.
package jpeg
