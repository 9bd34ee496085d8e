package ui

import (
	"io"
	"strings"
)

// Counter shows the progress of some work on a terminal; elsewhere it is silent.
type Counter struct{ gauge *gauge }

// NewCounter starts a counter from 0 to total.
func NewCounter(w io.Writer, terminal bool, label string, total int) *Counter {
	if !terminal {
		return &Counter{}
	}
	return &Counter{newGauge(w, strings.TrimSpace(label), 0, total)}
}

// Set moves the counter.
func (c *Counter) Set(done int) {
	if c.gauge != nil {
		c.gauge.set(done)
	}
}

// Clear makes room for a line; the next Set draws the counter again.
func (c *Counter) Clear() {
	if c.gauge != nil {
		c.gauge.clear()
	}
}

// Close removes the counter from the screen.
func (c *Counter) Close() { c.Clear() }
