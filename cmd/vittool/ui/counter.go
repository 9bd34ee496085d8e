package ui

import (
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Counter draws how far a piece of work is, on a terminal; elsewhere it is silent.
type Counter struct{ bar *progressbar.ProgressBar }

// NewCounter starts a counter from 0 to total.
func NewCounter(w io.Writer, terminal bool, label string, total int) *Counter {
	if !terminal {
		return &Counter{}
	}
	return &Counter{progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(strings.TrimSpace(label)),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetWidth(24),
		progressbar.OptionClearOnFinish(),
	)}
}

// Set moves the counter.
func (c *Counter) Set(done int) {
	if c.bar != nil {
		_ = c.bar.Set(done) // drawing is not worth failing for
	}
}

// Clear makes room for a line; the next Set draws the counter again.
func (c *Counter) Clear() {
	if c.bar != nil {
		_ = c.bar.Clear()
	}
}

// Close removes the counter from the screen.
func (c *Counter) Close() { c.Clear() }
