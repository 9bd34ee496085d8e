package vec

import "golang.org/x/sys/cpu"

func available() bool { return cpu.X86.HasAVX2 }
