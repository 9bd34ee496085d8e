package pictures

import (
	"image"
	"image/color"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// lineHeight is the height of a line of text with its space, in pixels.
const lineHeight = 16

var face = basicfont.Face7x13

// textWidth is the width of s in pixels. The face is monospaced.
func textWidth(s string) int { return face.Advance * len([]rune(s)) }

// cut shortens s to at most width pixels. Two dots replace the middle, because the end of a path
// identifies a file better than its beginning.
func cut(s string, width int) string {
	runes := []rune(s)
	most := max(0, width/face.Advance)
	if len(runes) <= most {
		return s
	}
	if most < 6 {
		return string(runes[:most])
	}
	head := (most - 2) / 2
	tail := most - 2 - head
	return string(runes[:head]) + ".." + string(runes[len(runes)-tail:])
}

// wrap breaks s at spaces into lines of at most width pixels. A longer word is cut.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		word = cut(word, width)
		switch {
		case line == "":
			line = word
		case textWidth(line+" "+word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// text draws s with the upper left corner of its line at x, y.
func text(dst *image.RGBA, x, y int, s string, c color.Color) {
	d := font.Drawer{Dst: dst, Src: image.NewUniform(c), Face: face, Dot: fixed.P(x, y+face.Ascent)}
	d.DrawString(s)
}
