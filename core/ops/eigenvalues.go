package ops

import "math"

// eigenvalues returns the eigenvalues of a symmetric matrix, in any order. It reads the lower
// triangle and overwrites it: Householder reflections make the matrix tridiagonal, and implicit QL
// steps its diagonal (Golub and Van Loan, Matrix Computations, 8.3).
func eigenvalues(a [][]float64) []float64 {
	n := len(a)
	diagonal, beside := make([]float64, n), make([]float64, n+1) // beside[i] couples i-1 and i
	product := make([]float64, n)
	for i := n - 1; i > 0; i-- {
		v := a[i][:i] // the row that becomes (0 ... 0, beside[i])
		length := 0.0
		for _, x := range v {
			length = math.Hypot(length, x)
		}
		if length < 1e-150 { // its square would vanish
			continue
		}
		beside[i] = -math.Copysign(length, v[i-1])
		v[i-1] -= beside[i]
		reflect(a, v, product)
	}
	for i := range n {
		diagonal[i] = a[i][i]
	}
	diagonalize(diagonal, beside)
	return diagonal
}

// reflect replaces the leading block A of a by H·A·H, H = 1 - 2vvᵀ/‖v‖², of the size of v.
func reflect(a [][]float64, v, product []float64) {
	squares := 0.0
	for _, x := range v {
		squares += x * x
	}
	h := 2 / squares
	for i := range v { // product = h·A·v
		sum := 0.0
		for j := range v {
			if j <= i {
				sum += a[i][j] * v[j]
			} else {
				sum += a[j][i] * v[j]
			}
		}
		product[i] = h * sum
	}
	along := 0.0
	for i, x := range v {
		along += x * product[i]
	}
	for i, x := range v {
		product[i] -= h / 2 * along * x
	}
	for i := range v {
		for j := range i + 1 {
			a[i][j] -= v[i]*product[j] + product[i]*v[j]
		}
	}
}

// diagonalize turns the diagonal of a symmetric tridiagonal matrix into its eigenvalues. beside[i]
// couples i-1 and i, from 1 on; it has one element more than the diagonal.
func diagonalize(diagonal, beside []float64) {
	n := len(diagonal)
	for l := range n {
		for range 60 { // two or three steps are usual
			m := l
			for m < n-1 && math.Abs(beside[m+1]) > 1e-16*(math.Abs(diagonal[m])+math.Abs(diagonal[m+1])) {
				m++
			}
			if m == l {
				break
			}
			qlStep(diagonal, beside, l, m)
		}
	}
}

// qlStep is one implicit QL step on the rows l to m, with the shift of Wilkinson.
func qlStep(diagonal, beside []float64, l, m int) {
	g := (diagonal[l+1] - diagonal[l]) / (2 * beside[l+1])
	g = diagonal[m] - diagonal[l] + beside[l+1]/(g+math.Copysign(math.Hypot(g, 1), g))
	beside[m+1] = 0
	sine, cosine, shift := 1.0, 1.0, 0.0
	for i := m - 1; i >= l; i-- {
		f, b := sine*beside[i+1], cosine*beside[i+1]
		r := math.Hypot(f, g)
		if i+2 <= m {
			beside[i+2] = r
		}
		if r == 0 {
			diagonal[i+1] -= shift
			return
		}
		sine, cosine = f/r, g/r
		g = diagonal[i+1] - shift
		r = (diagonal[i]-g)*sine + 2*cosine*b
		shift = sine * r
		diagonal[i+1] = g + shift
		g = cosine*r - b
	}
	diagonal[l] -= shift
	beside[l+1] = g
}
