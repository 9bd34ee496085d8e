//go:build !amd64

package f32

// assemblyTable has nothing to offer off amd64.
func assemblyTable(Level) *table { return nil }
