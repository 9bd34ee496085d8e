package golden

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/tensor"
)

// stage is a testing.TB that records failures and cleanups instead of acting on them.
type stage struct {
	recorder
	cleanups []func()
}

func (s *stage) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}
func (s *stage) Logf(string, ...any) {}
func (s *stage) Failed() bool        { return len(s.failures) > 0 }
func (s *stage) Skipped() bool       { return false }
func (s *stage) Cleanup(f func())    { s.cleanups = append(s.cleanups, f) }

// perform runs f and its cleanups, to the end or to a Fatalf, and returns the messages of all
// failures.
func perform(t *testing.T, f func(t testing.TB)) string {
	s := &stage{recorder: recorder{TB: t}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(s)
		for _, c := range s.cleanups {
			c()
		}
	}()
	<-done
	return strings.Join(s.failures, "\n")
}

// A file passes only if all that it says was looked at.
func TestWhole(t *testing.T) {
	write := func(config string, names ...string) string {
		path := filepath.Join(t.TempDir(), "case.safetensors")
		var tensors []tensor.Tensor
		for _, n := range names {
			tensors = append(tensors, tensor.NewF32(n, tensor.Shape{2}, []float32{1, 2}))
		}
		must.Do(t, tensor.WriteSafetensors(path, tensors, map[string]string{"config": config}))
		return path
	}
	type inner struct {
		LR float64 `json:"lr"`
	}
	type network struct {
		Dim int `json:"dim"`
	}
	use := func(c *Case, t testing.TB) {
		var cfg struct {
			network
			Traj  *inner `json:"traj"`
			Cases []inner
		}
		c.ConfigInto(t, &cfg)
		c.F32(t, "out.x")
		c.Fixed(t, map[string]any{"eps": 1e-5})
		c.Describes("arch")
		c.Beside("draws.")
	}
	for _, tc := range []struct {
		name, config string
		tensors      []string
		want         []string // nothing: it passes
	}{
		{"all known", `{"dim": 3, "traj": {"lr": 1}, "cases": [{"lr": 1}, {"lr": 2}], "eps": 1e-5, "arch": "x"}`, []string{"out.x", "draws.1"}, nil},
		{"unknown key", `{"dim": 3, "rope": true}`, []string{"out.x"}, []string{`"rope"`}},
		{"unknown key below", `{"traj": {"lr": 1, "clip": 1.0}}`, []string{"out.x"}, []string{`"traj.clip"`}},
		{"unknown key in a list", `{"cases": [{"lr": 1}, {"lr": 2, "x": 1}]}`, []string{"out.x"}, []string{`"cases.x"`}},
		{"another value", `{"eps": 1e-3}`, []string{"out.x"}, []string{"eps is 1e-3", "0.00001"}},
		{"extra tensor", `{}`, []string{"out.x", "bogus.thing"}, []string{"bogus.thing"}},
		{"zero gradient of nothing", `{"known_zero_grads": [["a", 0, 1]]}`, []string{"out.x"}, []string{"names a"}},
		{"zero gradient beyond the end", `{"known_zero_grads": [["a", 0, 3]]}`, []string{"out.x", "grad.a"}, []string{"0 to 3 of a, which has 2"}},
	} {
		path := write(tc.config, tc.tensors...)
		got := perform(t, func(t testing.TB) { use(Whole(t, path), t) })
		if (got == "") != (tc.want == nil) || slices.ContainsFunc(tc.want, func(w string) bool { return !strings.Contains(got, w) }) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// What was named and is not there fails; a folder with some kinds of cases is fine.
func TestChosenFolder(t *testing.T) {
	root := Repository(t)
	own := filepath.Join(root, "testdata", "reference")
	some := t.TempDir()
	must.Do(t, os.CopyFS(filepath.Join(some, "knn"), os.DirFS(filepath.Join(own, "knn"))))
	files := func(kind string) func(t testing.TB) {
		return func(t testing.TB) { Files(t, kind) }
	}
	for _, tc := range []struct {
		name, variable, value string
		f                     func(t testing.TB)
		want                  string
	}{
		{"missing", referenceEnv, filepath.Join(some, "nothing"), files("knn"), "there is no folder"},
		{"relative to the root", referenceEnv, "testdata/reference", files("knn"), ""},
		{"relative and missing", referenceEnv, "reference", files("knn"), "there is no folder " + filepath.Join(root, "reference")},
		{"one kind of several", referenceEnv, some, files("knn"), ""},
		{"another kind", referenceEnv, some, files("mae"), ""},
		{"a file of another kind", referenceEnv, some, func(t testing.TB) {
			if path, ok := File(t, "mae", "augmentation.json"); ok {
				t.Errorf("there is %s", path)
			}
		}, ""},
		{"no kind at all", referenceEnv, t.TempDir(), files("knn"), "holds no case"},
		{"missing shared data", sharedEnv, filepath.Join(some, "nothing"), files("knn"), "there is no folder"},
		{"shared data without a reference", sharedEnv, some, files("knn"), "is missing"},
	} {
		t.Setenv(referenceEnv, "")
		t.Setenv(tc.variable, tc.value)
		if got := perform(t, tc.f); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
