package f32

//go:generate sh -c "cd _asm && go run . -level avx2 -out ../avx2_amd64.s -stubs ../avx2_amd64.go -pkg f32"
//go:generate sh -c "cd _asm && go run . -level avx512 -out ../avx512_amd64.s -stubs ../avx512_amd64.go -pkg f32"
