package ui

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// gauge is the line of a terminal that shows the progress of some work: a label, a count, a bar, the
// time left and details. The line is never longer than the terminal is wide.
type gauge struct {
	w           io.Writer
	now         func() time.Time
	label       string
	total, done int
	details     []string // the first ones matter most: the last are left out where room is short

	from    int // done at the start
	started time.Time
	drawn   time.Time // newest drawing
	width   int       // characters on screen
}

func newGauge(w io.Writer, label string, from, total int) *gauge {
	return &gauge{w: w, now: time.Now, label: label, from: from, done: from, total: total, started: time.Now()}
}

// Widths of the bar between its brackets.
const (
	leastBar = 8
	mostBar  = 24
)

// redraw is the shortest time between two drawings.
const redraw = 100 * time.Millisecond

// set moves the gauge; the details follow the bar.
func (g *gauge) set(done int, details ...string) {
	g.done, g.details = done, details
	if now := g.now(); now.Sub(g.drawn) >= redraw || done == g.total {
		g.draw()
	}
}

// draw writes the line over the one before.
func (g *gauge) draw() {
	g.drawn = g.now()
	line := g.line(columns(g.w))
	width := utf8.RuneCountInString(line)
	g.write("\r" + line + strings.Repeat(" ", max(0, g.width-width)))
	g.width = width
}

// clear empties the line.
func (g *gauge) clear() {
	if g.width > 0 {
		g.write("\r" + strings.Repeat(" ", g.width) + "\r")
		g.width = 0
	}
}

func (g *gauge) write(text string) {
	_, _ = io.WriteString(g.w, text) // a closed terminal must not stop any work
}

// line is the text for a terminal of that many columns; the last one stays free, because some
// terminals wrap when it is written.
func (g *gauge) line(columns int) string {
	head := fmt.Sprintf("%d/%d", g.done, g.total)
	if g.label != "" {
		head = g.label + "  " + head
	}
	var tail []string
	if g.done > g.from && g.done < g.total {
		left := g.now().Sub(g.started).Seconds() * float64(g.total-g.done) / float64(g.done-g.from)
		tail = append(tail, Duration(time.Duration(left*float64(time.Second)))+" left")
	}
	tail = append(tail, g.details...)
	room := columns - 1 - utf8.RuneCountInString(head)
	bar := 0
	for ; ; tail = tail[:len(tail)-1] {
		used := 0
		for _, t := range tail {
			used += 2 + utf8.RuneCountInString(t)
		}
		if bar = min(room-used-4, mostBar); bar >= leastBar || len(tail) == 0 {
			break
		}
	}
	parts := []string{head}
	if bar >= leastBar {
		full := bar * min(g.done, g.total) / max(g.total, 1)
		parts = append(parts, "["+strings.Repeat("=", full)+strings.Repeat(" ", bar-full)+"]")
	}
	line := []rune(strings.Join(append(parts, tail...), "  "))
	return string(line[:min(len(line), max(columns-1, 0))])
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
