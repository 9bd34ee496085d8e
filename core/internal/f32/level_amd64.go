package f32

import "golang.org/x/sys/cpu"

// assemblyTable returns the table of l, or nil if this processor lacks it.
func assemblyTable(l Level) *table {
	avx2 := cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI2
	switch {
	case l == AVX2 && avx2:
		return &tableAVX2
	case l == AVX512 && avx2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL:
		return &tableAVX512
	}
	return nil
}
