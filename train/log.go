package train

import (
	"bytes"
	"os"
	"sync"
)

// lockedWriter is log.txt: the plugin's supervisor writes to it from its own goroutines, before and
// after the run folder exists.
type lockedWriter struct {
	mu      sync.Mutex
	pending bytes.Buffer
	file    *os.File
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return w.pending.Write(p)
	}
	return w.file.Write(p)
}

// open goes on in the file with everything that was written so far.
func (w *lockedWriter) open(file *os.File) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.file = file
	_, err := file.Write(w.pending.Bytes())
	return err
}

func (w *lockedWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}
