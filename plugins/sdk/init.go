package sdk

import "github.com/vittool/vittool/plugins/plan"

// InitZeros is 0 everywhere.
func InitZeros() *Init { return &Init{Kind: plan.InitZeros} }

// InitOnes is 1 everywhere.
func InitOnes() *Init { return &Init{Kind: plan.InitOnes} }

// InitConstant is c everywhere.
func InitConstant(c float64) *Init { return &Init{Kind: plan.InitConstant, A: c} }

// InitNormal draws from N(0, std^2).
func InitNormal(std float64) *Init { return &Init{Kind: plan.InitNormal, A: std} }

// InitTruncNormal draws from N(0, std^2) cut at -cut..cut.
func InitTruncNormal(std, cut float64) *Init {
	return &Init{Kind: plan.InitTruncNormal, A: std, B: cut}
}

// InitUniform draws from -bound..bound.
func InitUniform(bound float64) *Init { return &Init{Kind: plan.InitUniform, A: bound} }

// InitXavier draws from +-sqrt(6/(in+out)), Glorot and Bengio, 2010.
func InitXavier() *Init { return &Init{Kind: plan.InitXavierUniform} }

// InitFanIn draws from +-1/sqrt(in), the default of torch.nn.Linear.
func InitFanIn() *Init { return &Init{Kind: plan.InitFanInUniform} }
