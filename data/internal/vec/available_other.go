//go:build !amd64

package vec

func available() bool { return false }

// The assembly is amd64's; these stand in for it and are never called.

func inverseAVX2(*uint8, int, *[64]int16)                               { panic("vec: no assembly") }
func rgbAVX2(_, _, _, _ *uint8, _ int)                                  { panic("vec: no assembly") }
func interpolateHAVX2(_, _, _ *uint8, _ int)                            { panic("vec: no assembly") }
func interpolateHVAVX2(_, _, _ *uint8, _ int)                           { panic("vec: no assembly") }
func verticalAVX2(_, _ *uint8, _ int, _ *int32, _, _ int)               { panic("vec: no assembly") }
func horizontalAVX2(_, _, _, _ *uint8, _ *int32, _, _ *int16, _, _ int) { panic("vec: no assembly") }
