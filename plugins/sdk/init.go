package sdk

// Init is the initial value of a parameter or buffer, made by one of the Init functions or by
// Weights.Init.
type Init struct {
	Kind               InitKind
	A, B               float64 // numbers of the distribution
	Rows, Cols, Prefix int     // of a sine-cosine table
	Path               string  // file
	Tensor             string  // of the file
	Digest             string  // of the file
}

// InitKind is a kind of initial values.
type InitKind int

// Kinds of initial values, each with the function that makes it.
const (
	ZerosInit        InitKind = iota // InitZeros
	OnesInit                         // InitOnes
	ConstantInit                     // InitConstant
	NormalInit                       // InitNormal
	TruncNormalInit                  // InitTruncNormal
	UniformInit                      // InitUniform
	XavierInit                       // InitXavier
	FanInInit                        // InitFanIn
	SinCosColumnInit                 // Builder.SinCosColumn
	SinCosRowInit                    // Builder.SinCosRow
	_                                // values inside the plan, which the SDK does not make
	FileInit                         // Weights.Init
)

// InitZeros is 0 everywhere.
func InitZeros() *Init { return &Init{Kind: ZerosInit} }

// InitOnes is 1 everywhere.
func InitOnes() *Init { return &Init{Kind: OnesInit} }

// InitConstant is c everywhere.
func InitConstant(c float64) *Init { return &Init{Kind: ConstantInit, A: c} }

// InitNormal draws from N(0, std^2).
func InitNormal(std float64) *Init { return &Init{Kind: NormalInit, A: std} }

// InitTruncNormal draws from N(0, std^2) cut at -cut..cut.
func InitTruncNormal(std, cut float64) *Init { return &Init{Kind: TruncNormalInit, A: std, B: cut} }

// InitUniform draws from -bound..bound.
func InitUniform(bound float64) *Init { return &Init{Kind: UniformInit, A: bound} }

// InitXavier draws from +-sqrt(6/(in+out)), Glorot and Bengio, 2010.
func InitXavier() *Init { return &Init{Kind: XavierInit} }

// InitFanIn draws from +-1/sqrt(in), the default of torch.nn.Linear.
func InitFanIn() *Init { return &Init{Kind: FanInInit} }
