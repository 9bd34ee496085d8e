package pictures

import (
	"fmt"
	"image"
	"image/png"
	"io"

	"github.com/vittool/vittool/internal/atomicfile"
)

// WritePNG stores img at path; the file appears whole or not at all.
func WritePNG(path string, img image.Image) error {
	if err := atomicfile.Write(path, func(w io.Writer) error { return png.Encode(w, img) }); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	return nil
}
