package data

import (
	"path"
	"strings"
)

// systemFolders are made by network storage, desktops and archivers inside of people's folders, in
// lower case. They hold thumbnails, deleted files and notes. Those that begin with a dot are left
// out as hidden ones.
var systemFolders = map[string]bool{
	// Synology
	"@eadir": true, "#recycle": true, "#snapshot": true, "@tmp": true, "@sharebin": true,
	// QNAP
	"@recycle": true, "@recently-snapshot": true, "@__thumb": true,
	// NetApp
	"~snapshot": true,
	// Windows
	"$recycle.bin": true, "recycler": true, "recycled": true, "system volume information": true,
	// Linux
	"lost+found": true,
	// macOS, and its files on other systems
	"__macosx": true, "network trash folder": true, "temporary items": true, "thevolumesettingsfolder": true,
}

// isSystem reports whether a file or folder is none of a person's: hidden, or made by a system for
// itself.
func isSystem(name string) bool {
	return strings.HasPrefix(name, ".") && name != ".." || isSystemFolder(name)
}

func isSystemFolder(name string) bool { return systemFolders[strings.ToLower(name)] }

// inSystem reports whether isSystem holds for any part of a slash path.
func inSystem(name string) bool {
	for ; name != "." && name != "/" && name != ""; name = path.Dir(name) {
		if isSystem(path.Base(name)) {
			return true
		}
	}
	return false
}
