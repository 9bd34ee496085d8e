package f32

// convKernels are the inner loops of convolutions of one level. The transforms of Winograd's F(2×2,
// 3×3) work on tiles side by side in a row of an image, at distances of two pixels.
type convKernels struct {
	// copyRows is dst[i*lddst+j] = src[i*ldsrc+j] for i < rows and j < n.
	copyRows func(rows, n int, src *float32, ldsrc int, dst *float32, lddst int)
	// winogradInput is Bᵀ·d·B of c channels of the 4×4 pixels from pixel 2t of each row on, pixel
	// floats distance, for t < tiles: value p at dst[t*ld+p*distance].
	winogradInput func(tiles, c, pixel int, row0, row1, row2, row3, dst *float32, ld, distance int)
	// winogradOutput sets the 2×2 pixels of c channels from pixel 2t of both rows on to Aᵀ·m·A +
	// bias, value p of m at src[t*ld+p*distance]. winogradOutputAdd adds Aᵀ·m·A to them.
	winogradOutput    func(tiles, c int, src *float32, ld, distance int, row0, row1, bias *float32)
	winogradOutputAdd func(tiles, c int, src *float32, ld, distance int, row0, row1 *float32)
	// winogradGrad is A·d·Aᵀ of c ≤ mr channels of the 2×2 pixels from pixel 2t of both rows on, at
	// distances of pixel floats: value p at dst[t*mr+p*distance], made up with zeros to mr
	// channels. It writes tiles in order and nothing beyond the last.
	winogradGrad func(tiles, c, pixel int, row0, row1, dst *float32, distance int)
	// winogradWeight is G·g·Gᵀ of 3×3 values of c channels, value t at src[t*ld]: value p at
	// dst[p*distance].
	winogradWeight func(c int, src *float32, ld int, dst *float32, distance int)
	// winogradWeightGrad is Gᵀ·u·G of 16 values of c channels, value p at src[p*distance]: 3×3
	// values, value t at dst[t*ld].
	winogradWeightGrad func(c int, src *float32, distance int, dst *float32, ld int)
}

var genericConv = convKernels{
	copyRows: genericCopyRows, winogradInput: genericWinogradInput, winogradOutput: genericWinogradOutput,
	winogradOutputAdd: genericWinogradOutputAdd, winogradGrad: genericWinogradGrad,
	winogradWeight: genericWinogradWeight, winogradWeightGrad: genericWinogradWeightGrad,
}

func genericCopyRows(rows, n int, src *float32, ldsrc int, dst *float32, lddst int) {
	for r := range rows {
		copy(sliceAt(offset(dst, r*lddst), n), sliceAt(offset(src, r*ldsrc), n))
	}
}

func genericWinogradInput(tiles, c, pixel int, row0, row1, row2, row3, dst *float32, ld, distance int) {
	for t := range tiles {
		for ch := range c {
			at := func(row *float32, j int) float32 { return *offset(row, (2*t+j)*pixel+ch) }
			var m [4][4]float32
			for j := range 4 {
				a, b, c, d := at(row0, j), at(row1, j), at(row2, j), at(row3, j)
				m[0][j], m[1][j], m[2][j], m[3][j] = a-c, b+c, c-b, b-d
			}
			to := offset(dst, t*ld+ch)
			for i, x := range m {
				for j, v := range [4]float32{x[0] - x[2], x[1] + x[2], x[2] - x[1], x[1] - x[3]} {
					*offset(to, (4*i+j)*distance) = v
				}
			}
		}
	}
}

// genericSquare is Aᵀ·m·A of value p at src[p*distance].
func genericSquare(src *float32, distance int) (y [2][2]float32) {
	var t [2][4]float32
	for j := range 4 {
		at := func(i int) float32 { return *offset(src, (4*i+j)*distance) }
		t[0][j], t[1][j] = at(0)+at(1)+at(2), at(1)-at(2)-at(3)
	}
	for i, x := range t {
		y[i] = [2]float32{x[0] + x[1] + x[2], x[1] - x[2] - x[3]}
	}
	return y
}

func genericWinogradOutput(tiles, c int, src *float32, ld, distance int, row0, row1, bias *float32) {
	for t := range tiles {
		for ch := range c {
			y := genericSquare(offset(src, t*ld+ch), distance)
			b := *offset(bias, ch)
			for j := range 2 {
				*offset(row0, (2*t+j)*c+ch) = y[0][j] + b
				*offset(row1, (2*t+j)*c+ch) = y[1][j] + b
			}
		}
	}
}

func genericWinogradOutputAdd(tiles, c int, src *float32, ld, distance int, row0, row1 *float32) {
	for t := range tiles {
		for ch := range c {
			y := genericSquare(offset(src, t*ld+ch), distance)
			for j := range 2 {
				*offset(row0, (2*t+j)*c+ch) += y[0][j]
				*offset(row1, (2*t+j)*c+ch) += y[1][j]
			}
		}
	}
}

func genericWinogradGrad(tiles, c, pixel int, row0, row1, dst *float32, distance int) {
	for t := range tiles {
		for ch := range genericMR {
			var d [2][2]float32
			if ch < c {
				for j := range 2 {
					d[0][j], d[1][j] = *offset(row0, (2*t+j)*pixel+ch), *offset(row1, (2*t+j)*pixel+ch)
				}
			}
			to := offset(dst, t*genericMR+ch)
			for i, x := range [4][2]float32{d[0], {d[0][0] + d[1][0], d[0][1] + d[1][1]}, {d[0][0] - d[1][0], d[0][1] - d[1][1]}, {-d[1][0], -d[1][1]}} {
				for j, v := range [4]float32{x[0], x[0] + x[1], x[0] - x[1], -x[1]} {
					*offset(to, (4*i+j)*distance) = v
				}
			}
		}
	}
}

func genericWinogradWeight(c int, src *float32, ld int, dst *float32, distance int) {
	transform := func(x, y, z float32) [4]float32 {
		s, h := (x+z)*0.5, y*0.5
		return [4]float32{x, s + h, s - h, z}
	}
	for ch := range c {
		var t [4][3]float32
		for j := range 3 {
			at := func(i int) float32 { return *offset(src, (3*i+j)*ld+ch) }
			for i, v := range transform(at(0), at(1), at(2)) {
				t[i][j] = v
			}
		}
		to := offset(dst, ch)
		for i, x := range t {
			for j, v := range transform(x[0], x[1], x[2]) {
				*offset(to, (4*i+j)*distance) = v
			}
		}
	}
}

func genericWinogradWeightGrad(c int, src *float32, distance int, dst *float32, ld int) {
	transform := func(a, b, c, d float32) [3]float32 {
		s := (b + c) * 0.5
		return [3]float32{a + s, (b - c) * 0.5, s + d}
	}
	for ch := range c {
		var t [3][4]float32
		for j := range 4 {
			at := func(i int) float32 { return *offset(src, (4*i+j)*distance+ch) }
			for i, v := range transform(at(0), at(1), at(2), at(3)) {
				t[i][j] = v
			}
		}
		for i, x := range t {
			for j, v := range transform(x[0], x[1], x[2], x[3]) {
				*offset(dst, (3*i+j)*ld+ch) = v
			}
		}
	}
}
