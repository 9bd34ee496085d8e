package data

import (
	"errors"
	"fmt"

	"github.com/vittool/vittool/data/decode"
)

// Sizes returns width and height of up to n images, spread evenly over the source. Images that
// can't be read are left out.
func Sizes(s Source, n int) [][2]int {
	var sizes [][2]int
	r := newReader(s)
	n = min(n, s.Len())
	for i := range n {
		if w, h, err := r.open(i * s.Len() / n); err == nil {
			sizes = append(sizes, [2]int{w, h})
		}
	}
	return sizes
}

// tried is the number of images by which CheckChannels judges a source.
const tried = 8

// CheckChannels refuses a source whose images have other numbers of channels than were asked for:
// no image of a sample can be read, and this is the reason for each. One image that can be read is
// enough. The error is of type *Error.
func CheckChannels(s Source) error {
	var wrong *decode.ChannelsError
	n := min(tried, s.Len())
	for i := range n {
		_, err := s.Image(i * s.Len() / n)
		if !errors.As(err, &wrong) {
			return nil
		}
	}
	if wrong == nil {
		return nil
	}
	return problem("data.channels", fmt.Sprintf("set data.channels=%d, or 3 and a conversion of the files to RGB", wrong.Has),
		"the images have %d channels and data.channels is %d", wrong.Has, wrong.Want)
}
