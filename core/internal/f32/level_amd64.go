package f32

// assemblyTable returns the table of l, or nil if this processor lacks it.
func assemblyTable(l Level) *table { return nil }
