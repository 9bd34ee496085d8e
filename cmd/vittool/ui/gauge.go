package ui

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// gauge is the line of a terminal that shows the progress of some work: a label, details, a bar, a
// count and the time left. The line is never longer than the terminal is wide.
type gauge struct {
	bar     *progressbar.ProgressBar
	label   string
	total   int
	columns func() int
}

// Widths of the bar between its brackets.
const (
	leastBar = 8
	mostBar  = 24
)

func newGauge(w io.Writer, label string, from, total int) *gauge {
	return newGaugeOf(w, label, from, total, func() int { return columns(w) })
}

func newGaugeOf(w io.Writer, label string, from, total int, columns func() int) *gauge {
	g := &gauge{label: label, total: total, columns: columns}
	g.bar = progressbar.NewOptions(total,
		progressbar.OptionSetWriter(&truncated{w, columns}),
		progressbar.OptionSetDescription(label),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetWidth(g.barWidth()),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
	)
	_ = g.bar.Set(from) // drawing is not worth failing for, here and below
	return g
}

// fixed is the length of the line without label, details and bar: percentage, count and times.
func (g *gauge) fixed() int {
	return len(fmt.Sprintf("  100%%  (%d/%d) [99m59s:99m59s]", g.total, g.total)) + 2
}

func (g *gauge) barWidth() int {
	return max(leastBar, min(mostBar, g.columns()-1-g.fixed()-utf8.RuneCountInString(g.label)))
}

// set moves the gauge. The first details matter most: the last are left out on a narrow terminal.
func (g *gauge) set(done int, details ...string) {
	space := g.columns() - 1 - g.fixed() - g.barWidth()
	text := g.label
	for _, d := range details {
		longer := text + "  " + d
		if utf8.RuneCountInString(longer) > space {
			break
		}
		text = longer
	}
	_ = g.bar.Set(done)
	g.bar.Describe(text)
}

// draw writes the line anew.
func (g *gauge) draw() { _ = g.bar.RenderBlank() }

// clear empties the line.
func (g *gauge) clear() { _ = g.bar.Clear() }

// truncated cuts each drawing of a line to the width of the terminal. The last column stays free,
// because some terminals wrap when it is written.
type truncated struct {
	w       io.Writer
	columns func() int
}

// Write passes drawings on, which carriage returns separate.
func (t *truncated) Write(p []byte) (int, error) {
	var out bytes.Buffer
	for i, line := range strings.Split(string(p), "\r") {
		if i > 0 {
			out.WriteByte('\r')
		}
		r := []rune(line)
		out.WriteString(string(r[:min(len(r), max(t.columns()-1, 0))]))
	}
	if _, err := t.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// columns is the width of the terminal, 80 where it is not known.
func columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 80
}
