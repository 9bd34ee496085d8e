package main

import . "github.com/mmcloughlin/avo/build"

func main() { TEXT("x", NOSPLIT, "func()"); PAUSE(); RET(); Generate() }
