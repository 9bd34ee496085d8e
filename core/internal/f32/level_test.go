package f32

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestLevelNames(t *testing.T) {
	for l := Generic; l <= AVX512; l++ {
		got, err := ParseLevel(strings.ToUpper(l.String()))
		if err != nil || got != l {
			t.Errorf("ParseLevel(%q) = %v, %v", l.String(), got, err)
		}
	}
	if _, err := ParseLevel("neon"); err == nil || !strings.Contains(err.Error(), "avx512") {
		t.Errorf("ParseLevel(neon): %v", err)
	}
	if err := setLevel(Level(9)); err == nil {
		t.Error("setLevel accepts an unknown level")
	}
}

// VITTOOL_KERNELS is read once per process: each value in a process of its own.
func TestLevelFromEnvironment(t *testing.T) {
	if want := os.Getenv("F32_TEST_LEVEL"); want != "" {
		kernels()
		if want == "error" {
			if Err() == nil || !strings.Contains(Err().Error(), "VITTOOL_KERNELS") {
				t.Errorf("Err() = %v", Err())
			}
		} else if Current().String() != want || Err() != nil {
			t.Errorf("level %v, error %v, want %s", Current(), Err(), want)
		}
		return
	}
	levels := Available()
	cases := map[string]string{"": levels[len(levels)-1].String(), "sse": "error"}
	for l := Generic; l <= AVX512; l++ {
		cases[l.String()] = "error"
	}
	for _, l := range levels {
		cases[l.String()] = l.String()
	}
	for value, want := range cases {
		c := exec.Command(os.Args[0], "-test.run=^TestLevelFromEnvironment$", "-test.v")
		for _, kv := range os.Environ() {
			if !strings.HasPrefix(kv, "VITTOOL_KERNELS=") {
				c.Env = append(c.Env, kv)
			}
		}
		c.Env = append(c.Env, "VITTOOL_KERNELS="+value, "F32_TEST_LEVEL="+want)
		out, err := c.CombinedOutput()
		if want == "error" {
			// TestMain refuses to run on another level than asked for.
			if err == nil || !strings.Contains(string(out), "VITTOOL_KERNELS") {
				t.Errorf("VITTOOL_KERNELS=%s: %v\n%s", value, err, out)
			}
		} else if err != nil {
			t.Errorf("VITTOOL_KERNELS=%s: %v\n%s", value, err, out)
		}
	}
}
