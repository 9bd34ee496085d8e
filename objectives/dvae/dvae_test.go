package dvae_test

import (
	"testing"

	"github.com/vittool/vittool/objectives/dvae"
	"github.com/vittool/vittool/plugins/program/programtest"
)

func TestLearns(t *testing.T) {
	programtest.LearnsTokens(t, dvae.New(), map[string]any{"kl_weight": 1e-4})
}
