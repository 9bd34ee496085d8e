// Package plugintest lets the binary of a test be the plugins that its tests start.
package plugintest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/vittool/vittool/internal/must"
	"github.com/vittool/vittool/plugins/sdk"
)

// Main is TestMain of a package whose test binary is also a plugin. Started under the name of one of
// programs, it runs that; started with the arguments serve and a name, as the host starts vittool
// for a built-in objective, it serves the objective that builtin returns; else it runs the tests.
func Main(m *testing.M, serve []string, builtin func(name string) (sdk.Objective, error), programs map[string]func()) {
	if run := programs[filepath.Base(os.Args[0])]; run != nil {
		run()
		return
	}
	if n := len(serve); len(os.Args) == n+2 && os.Args[1] == serve[0] && os.Args[n] == serve[n-1] {
		o, err := builtin(os.Args[n+1])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		sdk.Serve(o)
		return
	}
	os.Exit(m.Run())
}

// Serve is a program of Main that serves an objective.
func Serve(o sdk.Objective) func() { return func() { sdk.Serve(o) } }

// Program returns the path of the test binary under the name of a program of Main.
func Program(t *testing.T, name string) string {
	t.Helper()
	self := must.Get(os.Executable())(t)
	path := filepath.Join(t.TempDir(), name)
	if os.Link(self, path) != nil {
		must.Do(t, os.Symlink(self, path))
	}
	return path
}

// Arrays calls all, in order, and returns the elements of their arrays.
func Arrays(all ...func() (*sdk.Array, error)) ([][]float32, error) {
	var out [][]float32
	for _, get := range all {
		a, err := get()
		if err != nil {
			return nil, err
		}
		out = append(out, a.F32)
	}
	return out, nil
}

// Named is a call of Arrays for the array of a name.
func Named(get func(name string) (*sdk.Array, error), name string) func() (*sdk.Array, error) {
	return func() (*sdk.Array, error) { return get(name) }
}

// MeanSquare evaluates the loss mean(x²) of the input x, and its gradient.
func MeanSquare(c *sdk.EvaluateCall) (loss float64, err error) {
	a, err := Arrays(Named(c.Input, "x"), Named(c.InputGradient, "x"))
	if err != nil {
		return 0, err
	}
	n := float64(len(a[0]))
	for i, v := range a[0] {
		loss += float64(v) * float64(v) / n
		a[1][i] = 2 * v / float32(n)
	}
	return loss, nil
}
