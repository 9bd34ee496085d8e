//go:build !linux

package train

// systemMemory is not known on this system.
func systemMemory(string) (bytes int64, of string) { return 0, "" }
