// Package jpeg decodes JPEG files to the bits that Pillow reads, which are those of libjpeg-turbo:
// its "islow" inverse cosine transform, its interpolation of subsampled chroma, its integer
// conversion to RGB.
//
// A picture may be reconstructed in part. The entropy code has to be walked from the first block,
// but the transform, the interpolation and the colors are only computed where the wanted box needs
// them, and the pixels are those that cutting the box out of the whole picture would give.
//
// Sequential and progressive files are read, of gray, YCbCr, RGB, CMYK and YCCK. A kind that is not
// (arithmetic coding, lossless, more than 8 bits, fractional sampling) is named by an error that
// wraps [ErrUnsupported]. A file that is cut short or damaged is an error, never a half-filled
// picture, with one exception of libjpeg's: a missing restart marker in the middle of a scan leaves
// its interval gray.
//
// The format is ITU-T T.81; the sections named in comments are its.
package jpeg
