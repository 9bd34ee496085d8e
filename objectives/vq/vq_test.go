package vq_test

import (
	"testing"

	"github.com/vittool/vittool/objectives/vq"
	"github.com/vittool/vittool/plugins/program/programtest"
)

func TestLearns(t *testing.T) { programtest.LearnsTokens(t, vq.New(), nil) }
