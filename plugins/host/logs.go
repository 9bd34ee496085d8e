package host

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	tailLines  = 20   // of standard error that an error carries
	maxLogLine = 4096 // bytes; longer lines are cut, so that a plugin cannot fill memory
)

// lineLog forwards a plugin's standard error line by line, with a prefix, and keeps the last lines.
type lineLog struct {
	mu     sync.Mutex
	to     io.Writer // may be nil
	prefix string
	part   []byte
	tail   []string
	crash  []string  // the first lines of the last crash report
	heard  time.Time // when something was last written
}

// settle waits for the last lines of a failing plugin: another goroutine reads the pipe and may lag
// behind the error of the call. It returns once a crash report is complete, after a second at the
// latest.
func (l *lineLog) settle() {
	const quiet, most = 50 * time.Millisecond, time.Second
	for start := time.Now(); time.Since(start) < most; time.Sleep(quiet / 5) {
		l.mu.Lock()
		done := len(l.crash) > 0 && time.Since(l.heard) > quiet
		l.mu.Unlock()
		if done {
			return
		}
	}
}

// crashMarks begin the report of a dying process. Its first lines give the cause; the last ones are
// a stack.
var crashMarks = []string{"panic: ", "panic in ", "fatal error: ", "unexpected fault address", "SIGSEGV", "Traceback (most recent call last)"}

const crashLines = 8

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	l.heard = time.Now()
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		chunk := p
		if i >= 0 {
			chunk = p[:i]
		}
		l.part = append(l.part, chunk[:min(len(chunk), max(0, maxLogLine-len(l.part)))]...)
		if i < 0 {
			break
		}
		l.line(string(l.part))
		l.part = l.part[:0]
		p = p[i+1:]
	}
	return n, nil
}

func (l *lineLog) line(s string) {
	l.tail = append(l.tail, s)
	if len(l.tail) > tailLines {
		l.tail = l.tail[1:]
	}
	started := len(l.crash) > 0 && len(l.crash) < crashLines
	for _, m := range crashMarks {
		if strings.HasPrefix(s, m) && !started {
			l.crash, started = nil, true
		}
	}
	if started {
		l.crash = append(l.crash, s)
	}
	if l.to != nil {
		// A log that cannot be written must not stop the run.
		_, _ = io.WriteString(l.to, l.prefix+s+"\n")
	}
}

// say adds a line of the host's own.
func (l *lineLog) say(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil {
		_, _ = io.WriteString(l.to, l.prefix+s+"\n")
	}
}

// last returns the last lines, the unfinished one included, and before them the beginning of a
// crash report that they do not reach back to.
func (l *lineLog) last() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	tail := l.tail
	if len(l.part) > 0 {
		tail = append(slices.Clip(tail), string(l.part))
	}
	if len(l.crash) == 0 || slices.Contains(tail, l.crash[0]) {
		return slices.Clone(tail)
	}
	return slices.Concat(l.crash, []string{"..."}, tail[max(0, len(tail)-tailLines+crashLines):])
}
