package f32

import "fmt"

// Epilogue transforms acc, an element of A·B (plus C, when accumulating), before it is stored in C,
// while the tile is still in cache. At most one of Slope, Times and the group Gamma, RowScale,
// Residual may be set. Matrices are dense, [M, N].
type Epilogue struct {
	Bias  []float32 // [N]: acc += Bias[j]
	Slope []float32 // [M, N], written: C = gelu(acc + Bias[j]), Slope = gelu'(acc + Bias[j])
	Times []float32 // [M, N]: C = acc * Times

	Gamma    []float32 // [N], layer scale: C = RowScale*Gamma[j]*(acc+Bias[j]) + Residual
	RowScale []float32 // [M/RowsPer], drop path: one factor per RowsPer rows
	RowsPer  int
	Residual []float32 // [M, N], may be C itself
}

type epilogueKind uint8

const (
	epilogueNone epilogueKind = iota
	epilogueBias
	epilogueGelu
	epilogueTimes
	epilogueResidual
)

// kind returns the kind of the epilogue of a product [m, n]. It panics if operands are too short or
// do not go together.
func (ep *Epilogue) kind(m, n int) epilogueKind {
	if ep == nil {
		return epilogueNone
	}
	ep.check(m, n)
	affine := ep.Gamma != nil || ep.RowScale != nil || ep.Residual != nil
	kind := epilogueNone
	if ep.Bias != nil {
		kind = epilogueBias
	}
	set := 0
	for _, other := range [...]struct {
		set  bool
		kind epilogueKind
	}{{ep.Slope != nil, epilogueGelu}, {ep.Times != nil, epilogueTimes}, {affine, epilogueResidual}} {
		if other.set {
			set, kind = set+1, other.kind
		}
	}
	if set > 1 {
		panic("f32.Gemm: Epilogue combines more than one of Slope, Times and Gamma/RowScale/Residual")
	}
	if kind == epilogueTimes && ep.Bias != nil {
		panic("f32.Gemm: Epilogue combines Times with Bias")
	}
	return kind
}

// check panics if an operand is too short for a product [m, n].
func (ep *Epilogue) check(m, n int) {
	for _, x := range [...]struct {
		name string
		data []float32
		want int
	}{{"Bias", ep.Bias, n}, {"Slope", ep.Slope, m * n}, {"Times", ep.Times, m * n}, {"Gamma", ep.Gamma, n}, {"Residual", ep.Residual, m * n}} {
		if x.data != nil && len(x.data) < x.want {
			panicShort("Gemm", "Epilogue."+x.name, len(x.data), x.want)
		}
	}
	if ep.RowScale == nil {
		return
	}
	if ep.RowsPer <= 0 {
		panic(fmt.Sprintf("f32.Gemm: Epilogue.RowsPer is %d with RowScale set", ep.RowsPer))
	}
	need("Gemm", "Epilogue.RowScale", len(ep.RowScale), ceilDiv(m, ep.RowsPer))
}

// prefetch reads ahead the operand of the epilogue of the m rows of a tile at (row, col), so that
// it arrives while the products are summed.
func (g *product) prefetch(row, col, m int) {
	var x []float32
	switch g.kind {
	case epilogueTimes:
		x = g.ep.Times
	case epilogueResidual:
		x = g.ep.Residual
	}
	if x != nil {
		g.t.tilePrefetch(m, &x[row*g.n+col], g.n)
	}
}

// finish applies the epilogue to the m×n tile of sums acc and stores it in C at (row, col).
func (g *product) finish(w *worker, row, col, m, n int, acc mat) {
	t, ep := g.t, &g.ep
	c := g.c.at(row, col)
	bias := &zeros[0]
	if ep.Bias != nil {
		bias = &ep.Bias[col]
	}
	switch g.kind {
	case epilogueBias:
		t.tileBias(m, n, acc.p, acc.ld, c, g.c.ld, bias)
	case epilogueGelu:
		t.tileGelu(m, n, acc.p, acc.ld, c, g.c.ld, bias, &ep.Slope[row*g.n+col], g.n)
	case epilogueTimes:
		t.tileTimes(m, n, acc.p, acc.ld, c, g.c.ld, &ep.Times[row*g.n+col], g.n)
	case epilogueResidual:
		gamma := &ones[0]
		if ep.Gamma != nil {
			gamma = &ep.Gamma[col]
		}
		residual, ldres := &zeros[0], 0
		if ep.Residual != nil {
			residual, ldres = &ep.Residual[row*g.n+col], g.n
		}
		rowScale := &ones[0]
		if ep.RowScale != nil {
			for r := range m {
				w.rowScale[r] = ep.RowScale[(row+r)/ep.RowsPer]
			}
			rowScale = &w.rowScale[0]
		}
		t.tileResidual(m, n, acc.p, acc.ld, c, g.c.ld, bias, gamma, rowScale, residual, ldres)
	}
}

// zeros and ones stand in for an absent bias, gain or residual of tiles.
var zeros, ones = [tileRows]float32{}, func() (o [tileRows]float32) {
	for i := range o {
		o[i] = 1
	}
	return
}()
