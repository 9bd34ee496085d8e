// Package golden reads the reference data of tests: it finds the folder, reads a case and compares
// results with it by the tolerance rules of the reference. Only tests import it.
package golden

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vittool/vittool/tensor"
)

// Environment variables of the folders of test data. A relative path counts from the root of the
// repository, since the tests of each package run in a folder of their own.
const (
	referenceEnv = "VITTOOL_REFERENCE"
	sharedEnv    = "VITTOOL_SHARED"
)

// kinds are the folders of cases with tests in this repository: those of its own smallest cases.
func kinds(t testing.TB) []string {
	folders, err := contents(filepath.Join(Repository(t), "testdata", "reference"), true)
	if err != nil {
		t.Fatal(err)
	}
	for i, folder := range folders {
		folders[i] = filepath.Base(folder)
	}
	return folders
}

// contents lists the folders or the files in a folder, in order.
func contents(folder string, folders bool) ([]string, error) {
	entries, err := os.ReadDir(folder)
	var paths []string
	for _, e := range entries {
		if e.IsDir() == folders {
			paths = append(paths, filepath.Join(folder, e.Name()))
		}
	}
	return paths, err
}

// Folder returns the reference folder: $VITTOOL_REFERENCE, or "reference" inside $VITTOOL_SHARED
// (default: "shared" beside the repository), or, where that does not exist, testdata/reference of
// the repository with the smallest case of each kind. A folder that a variable names and that is
// missing, or holds no case, fails the test; with CI=true a missing default fails it too. So no run
// silently tests less.
func Folder(t testing.TB) string {
	t.Helper()
	root := Repository(t)
	folder := named(t, referenceEnv)
	if folder != "" {
		kinds := kinds(t)
		if !slices.ContainsFunc(kinds, func(kind string) bool { return len(filesIn(filepath.Join(folder, kind))) > 0 }) {
			t.Fatalf("%s: %s holds no case: none of its folders is called %s", referenceEnv, folder, strings.Join(kinds, ", "))
		}
		return folder
	}
	folder = filepath.Join(Shared(t), "reference")
	if isDirectory(folder) {
		return folder
	}
	if os.Getenv("CI") == "true" || os.Getenv(sharedEnv) != "" {
		t.Fatalf("the reference folder %s is missing: set %s", folder, referenceEnv)
	}
	own := filepath.Join(root, "testdata", "reference")
	if !isDirectory(own) {
		t.Fatalf("neither %s nor %s exists: set %s", folder, own, referenceEnv)
	}
	return own
}

// named returns the folder that a variable names, "" without the variable. A missing folder fails
// the test.
func named(t testing.TB, variable string) string {
	t.Helper()
	folder := os.Getenv(variable)
	if folder == "" {
		return ""
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(Repository(t), folder)
	}
	if !isDirectory(folder) {
		t.Fatalf("%s=%s: there is no folder %s (a relative path counts from the folder of go.mod)", variable, os.Getenv(variable), folder)
	}
	return folder
}

// Shared returns the folder of shared test data, $VITTOOL_SHARED or "shared" beside the repository.
// The latter may be missing; see SharedExists.
func Shared(t testing.TB) string {
	t.Helper()
	if folder := named(t, sharedEnv); folder != "" {
		return folder
	}
	return filepath.Join(filepath.Dir(Repository(t)), "shared")
}

// SharedExists reports whether the shared folder exists; with CI=true its absence fails the test.
func SharedExists(t testing.TB) bool {
	t.Helper()
	if isDirectory(Shared(t)) {
		return true
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("the shared folder %s is missing: set %s", Shared(t), sharedEnv)
	}
	return false
}

// Repository returns the root folder of the module under test.
func Repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}

func isDirectory(path string) bool {
	s, err := os.Stat(path)
	return err == nil && s.IsDir()
}

// Files lists the files of the folder of an objective, such as "mae", sorted: .safetensors cases
// and .json statistics. A missing folder is logged where $VITTOOL_REFERENCE chose the cases, and
// fails the test elsewhere: the folders of the project hold every kind.
func Files(t testing.TB, objective string) []string {
	t.Helper()
	folder := filepath.Join(Folder(t), objective)
	files := filesIn(folder)
	if len(files) == 0 {
		missing(t, folder)
	}
	return files
}

// File returns a file of the reference folder by its path in it; ok is false for one missing from
// the folder $VITTOOL_REFERENCE. Elsewhere a missing file fails the test.
func File(t testing.TB, elem ...string) (path string, ok bool) {
	t.Helper()
	path = filepath.Join(append([]string{Folder(t)}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		missing(t, path)
		return path, false
	}
	return path, true
}

// missing fails the test for a missing path, or logs it where a variable chose the cases.
func missing(t testing.TB, path string) {
	t.Helper()
	if os.Getenv(referenceEnv) == "" {
		t.Fatalf("the reference folder is not whole: there is no %s", path)
	}
	t.Logf("no case of this kind: there is no %s", path)
}

// filesIn lists the files of a folder, sorted.
func filesIn(folder string) []string {
	files, _ := contents(folder, false) // the caller reports the missing folder
	return files
}

// Name returns the name of the subtest of a file, such as "mae/a_plain_traj".
func Name(path string) string {
	base := filepath.Base(path)
	return filepath.Base(filepath.Dir(path)) + "/" + strings.TrimSuffix(base, filepath.Ext(base))
}

// ReadJSON reads one of the .json files into v.
func ReadJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Case is one reference file.
type Case struct {
	Path    string
	Meta    map[string]string
	Config  json.RawMessage
	Tensors *tensor.File
	// Trained returns the parameter that one of the reference copies, or the same name. It may be
	// nil where the reference keeps copies below "teacher.".
	Trained   func(name string) string
	deviation map[string][3]float64
	ill       map[string]bool
	zero      map[string][][2]int // ranges of rows with zero gradient in theory, by parameter
	group     map[string]float64  // CNN rule: R_G by group
	uses      uses
}

// Open reads a case. An unreadable one fails the test.
func Open(t testing.TB, path string) *Case {
	t.Helper()
	f, err := tensor.ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &Case{Path: path, Meta: f.Meta, Config: json.RawMessage(f.Meta["config"]), Tensors: f}
	c.deviation = map[string][3]float64{}
	c.metadata(t, "f32_deviation", &c.deviation)
	var ill []string
	c.metadata(t, "ill_conditioned", &ill)
	c.ill = map[string]bool{}
	for _, n := range ill {
		c.ill[n] = true
	}
	c.zero = map[string][][2]int{}
	var config struct {
		Zero []json.RawMessage `json:"known_zero_grads"`
	}
	if len(c.Config) > 0 {
		c.decodeConfig(t, &config)
	}
	for name := range c.deviation {
		c.Tensor(t, name)
	}
	for _, name := range ill {
		c.Tensor(t, name)
	}
	for _, raw := range config.Zero {
		var name string
		var first, end int
		if err := json.Unmarshal(raw, &[]any{&name, &first, &end}); err != nil {
			t.Fatalf("%s: known_zero_grads %s: %v", path, raw, err)
		}
		c.checkZero(t, name, first, end)
		c.zero[name] = append(c.zero[name], [2]int{first, end})
	}
	c.uses.add(config)
	c.group = map[string]float64{}
	for name, d := range c.deviation {
		if !c.ill[name] {
			g := groupOf(name)
			c.group[g] = max(c.group[g], d[1])
		}
	}
	return c
}

// metadata decodes a JSON value of the metadata into v, if it is there.
func (c *Case) metadata(t testing.TB, key string, v any) {
	t.Helper()
	if text := c.Meta[key]; text != "" {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Fatalf("%s: metadata %s: %v", c.Path, key, err)
		}
	}
}

// Objective returns the objective that the case is of. Cases of README-cnn.md name it in the
// metadata, cases of README.md in the config.
func (c *Case) Objective(t testing.TB) string {
	t.Helper()
	if o := c.Meta["objective"]; o != "" {
		return o
	}
	var config struct {
		Objective string `json:"objective"`
	}
	c.ConfigInto(t, &config)
	return config.Objective
}

// ConfigInto decodes the case's config into v.
func (c *Case) ConfigInto(t testing.TB, v any) {
	t.Helper()
	c.decodeConfig(t, v)
	c.uses.add(v)
}

func (c *Case) decodeConfig(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(c.Config, v); err != nil {
		t.Fatalf("%s: config: %v", c.Path, err)
	}
}

// Has reports whether the case holds a tensor of that name.
func (c *Case) Has(name string) bool {
	_, ok := c.Tensors.Get(name)
	return ok
}

// Names lists the tensors whose names begin with prefix, sorted.
func (c *Case) Names(prefix string) []string {
	var names []string
	for _, n := range c.Tensors.Names() {
		if strings.HasPrefix(n, prefix) {
			names = append(names, n)
		}
	}
	return names
}

// Tensor returns a tensor or fails the test.
func (c *Case) Tensor(t testing.TB, name string) tensor.Tensor {
	t.Helper()
	x, ok := c.Tensors.Get(name)
	if !ok {
		t.Fatalf("%s: no tensor %q", c.Path, name)
	}
	c.uses.tensors.Store(name, true)
	return x
}

// F32 returns a float32 tensor's elements.
func (c *Case) F32(t testing.TB, name string) []float32 {
	return get(t, c, name, tensor.Tensor.Float32s)
}

// F64 returns the elements of a floating-point tensor as float64.
func (c *Case) F64(t testing.TB, name string) []float64 {
	return get(t, c, name, tensor.Tensor.Float64s)
}

// I64 returns the elements of an integer tensor.
func (c *Case) I64(t testing.TB, name string) []int64 { return get(t, c, name, tensor.Tensor.Int64s) }

// U8 returns a byte tensor's elements.
func (c *Case) U8(t testing.TB, name string) []byte {
	t.Helper()
	x := c.Tensor(t, name)
	if x.DType != tensor.U8 {
		t.Fatalf("%s: %s is of type %s, not U8", c.Path, name, x.DType)
	}
	return x.Bytes()
}

// Scalar returns the only element of a floating-point tensor.
func (c *Case) Scalar(t testing.TB, name string) float64 {
	t.Helper()
	v := c.F64(t, name)
	if len(v) != 1 {
		t.Fatalf("%s: %s has %d elements, not 1", c.Path, name, len(v))
	}
	return v[0]
}

// get returns the elements of a tensor by f or fails the test.
func get[T any](t testing.TB, c *Case, name string, f func(tensor.Tensor) ([]T, error)) []T {
	t.Helper()
	v, err := f(c.Tensor(t, name))
	if err != nil {
		t.Fatalf("%s: %v", c.Path, err)
	}
	return v
}

// String names the case in messages.
func (c *Case) String() string { return fmt.Sprintf("case %s", Name(c.Path)) }
