package configs

import (
	"reflect"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

func TestParse(t *testing.T) {
	want := Default()
	want.Train.BatchSize = 77
	want.Objective.Options = map[string]any{"mask_ratio": 0.6}
	got := must.Get(Parse("checkpoint", want.YAML()))(t)
	if got.Train.BatchSize != 77 || !reflect.DeepEqual(got.Objective.Options, want.Objective.Options) {
		t.Errorf("read %+v, wrote %+v", got, want)
	}
	for text, message := range map[string]string{
		"train: {batch_sise: 3}": "batch_sise",
		"train: {batch_size: 0}": "batch_size",
		"- 1":                    "checkpoint",
	} {
		if _, err := Parse("checkpoint", []byte(text)); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: error %v, want one about %q", text, err, message)
		}
	}
}
