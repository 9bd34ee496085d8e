package host

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vittool/vittool/plugins/sdk"
)

// newSocketDir makes the private folder (mode 0700) that one plugin process listens in. It is
// locked while it is in use and removed as soon as the connection stands, because a unix socket
// needs its file only for connecting. The folder of a host that was killed in those few
// milliseconds is recognized by the missing lock and swept.
func newSocketDir() (dir string, release func(), err error) {
	parent := socketParent(os.TempDir())
	sweepSockets(parent)
	for range 10 { // another host's sweep may come between making the folder and locking it
		if dir, err = os.MkdirTemp(parent, sdk.SocketDirPrefix); err != nil {
			return "", nil, fmt.Errorf("no private folder for the plugin's socket can be made in %s; set %s to a folder that exists and may be written: %w", parent, temporaryVariable(), err)
		}
		unlock, lockErr := lockDir(dir)
		if lockErr != nil {
			os.RemoveAll(dir)
			continue
		}
		if _, statErr := os.Stat(dir); statErr != nil {
			unlock()
			continue
		}
		return dir, func() {
			os.RemoveAll(dir)
			unlock()
		}, nil
	}
	return "", nil, fmt.Errorf("no private folder for the plugin's socket: %s cannot be locked in %s", dir, parent)
}

// temporaryVariable names the environment variable that os.TempDir follows.
func temporaryVariable() string {
	if runtime.GOOS == "windows" {
		return "TMP"
	}
	return "TMPDIR"
}

// maxSocketPath is the longest path of a unix socket that every system accepts (macOS has the
// lowest limit). belowParent is the greatest length below the parent folder: the names of the
// private folder, of go-plugin's folder in it, and of the socket.
const (
	maxSocketPath = 103
	belowParent   = len("/"+sdk.SocketDirPrefix+"4294967295") + len("/plugin-dir4294967295") + len("/plugin4294967295")
)

// socketParent is the folder for temporary files, or the system's own short one where the path of a
// socket in it would be too long.
func socketParent(temporary string) string {
	const short = "/tmp"
	if info, err := os.Stat(short); len(temporary)+belowParent > maxSocketPath && err == nil && info.IsDir() {
		return short
	}
	return temporary
}

// sweepSockets removes the folders of ended hosts; those of other users cannot be locked.
func sweepSockets(parent string) {
	dirs, err := filepath.Glob(filepath.Join(parent, sdk.SocketDirPrefix+"*"))
	if err != nil {
		return
	}
	for _, d := range dirs {
		if unlock, err := lockDir(d); err == nil {
			os.RemoveAll(d)
			unlock()
		}
	}
}
