package host

import (
	"os"
	"path/filepath"
)

// lockDir keeps a file open inside the folder, which Windows then refuses to remove; plugins listen
// on TCP there, so the folder stays empty otherwise.
func lockDir(dir string) (unlock func(), err error) {
	name := filepath.Join(dir, "lock")
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return func() {
		f.Close()
		os.RemoveAll(dir)
	}, nil
}
