package train

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vittool/vittool/tensor"
)

// targetCache keeps targets that follow from the pixels of a view alone, in memory and in a folder,
// for later epochs and runs. It implements program.TargetCache.
//
// The folder has one of its own for each kind, with safetensors files that are written whole and
// never changed: "keys" [N, 32] are SHA-256 digests of pixels, "values" [N, W] integers. Runs that
// share a folder don't get in each other's way.
type targetCache struct {
	dir     string // "" keeps nothing on disk
	most    int    // values of a kind that a run adds
	warn    func(string)
	kinds   map[string]*cachedTargets
	failing bool // the folder can't be written; the warning was given
}

type cachedTargets struct {
	width  int
	rows   map[[sha256.Size]byte]int
	keys   []byte  // [rows, 32]
	values []int32 // [rows, width]
	loaded int     // rows that were on disk before this run
	stored int     // rows that are on disk
}

// newTargetCache keeps values in dir: "" takes the user's cache folder, "none" the memory alone. A
// run adds at most four values for each image: views that change against the promise of the plan
// must not fill the memory. The values in the folder are read whole.
func newTargetCache(dir string, images int, warn func(string)) *targetCache {
	switch dir {
	case "none":
		dir = ""
	case "":
		if cache, err := os.UserCacheDir(); err == nil {
			dir = filepath.Join(cache, "vittool", "targets")
		}
	}
	return &targetCache{dir: dir, most: 4 * images, warn: warn, kinds: map[string]*cachedTargets{}}
}

// Get implements program.TargetCache.
func (c *targetCache) Get(kind string, key [sha256.Size]byte, value []int32) bool {
	k := c.kinds[kind]
	if k == nil {
		k = &cachedTargets{width: len(value), rows: map[[sha256.Size]byte]int{}}
		c.kinds[kind] = k
		c.load(kind, k)
	}
	row, ok := k.rows[key]
	if ok {
		copy(value, k.values[row*k.width:])
	}
	return ok
}

// Put implements program.TargetCache.
func (c *targetCache) Put(kind string, key [sha256.Size]byte, value []int32) {
	if k := c.kinds[kind]; k != nil && len(k.rows)-k.loaded < c.most {
		k.put(key, value)
	}
}

func (k *cachedTargets) put(key [sha256.Size]byte, value []int32) {
	if _, ok := k.rows[key]; ok {
		return
	}
	k.rows[key] = len(k.rows)
	k.keys = append(k.keys, key[:]...)
	k.values = append(k.values, value...)
}

// load reads the files of other runs. A damaged one is passed over: its values are computed again.
func (c *targetCache) load(kind string, k *cachedTargets) {
	if c.dir == "" {
		return
	}
	entries, err := os.ReadDir(filepath.Join(c.dir, kind)) // sorted
	if err != nil {
		return // no run has kept any, or save reports the folder
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".safetensors" {
			continue
		}
		if err := k.read(filepath.Join(c.dir, kind, e.Name())); err != nil {
			c.warn(fmt.Sprintf("cached targets are computed again: %v", err))
		}
	}
	k.loaded, k.stored = len(k.rows), len(k.rows)
}

func (k *cachedTargets) read(path string) error {
	f, err := tensor.ReadSafetensors(path)
	if err != nil {
		return err
	}
	if err := f.VerifyDigest(); err != nil {
		return err
	}
	keys, ok := f.Get("keys")
	values, found := f.Get("values")
	n := len(keys.Bytes()) / sha256.Size
	if !ok || !found || keys.DType != tensor.U8 || values.DType != tensor.I32 ||
		!keys.Shape.Equal(tensor.Shape{n, sha256.Size}) || !values.Shape.Equal(tensor.Shape{n, k.width}) {
		return fmt.Errorf("%s: want keys [N, %d] of bytes and values [N, %d] of 32-bit integers", path, sha256.Size, k.width)
	}
	wide, err := values.Int64s()
	if err != nil {
		return err
	}
	row := make([]int32, k.width)
	for i := range n {
		for j := range row {
			row[j] = int32(wide[i*k.width+j])
		}
		k.put([sha256.Size]byte(keys.Bytes()[i*sha256.Size:]), row)
	}
	return nil
}

// save writes the new values, in one file for each kind.
func (c *targetCache) save() error {
	if c.dir == "" || c.failing {
		return nil
	}
	for kind, k := range c.kinds {
		n := len(k.rows) - k.stored
		if n == 0 {
			continue
		}
		tensors := []tensor.Tensor{
			tensor.NewU8("keys", tensor.Shape{n, sha256.Size}, k.keys[k.stored*sha256.Size:]),
			tensor.NewI32("values", tensor.Shape{n, k.width}, k.values[k.stored*k.width:]),
		}
		dir := filepath.Join(c.dir, kind)
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = tensor.WriteSafetensors(filepath.Join(dir, tensor.Digest(tensors)[:16]+".safetensors"), tensors, nil)
		}
		if err != nil {
			c.failing = true
			return fmt.Errorf("cached targets can't be kept in data.target_cache: %w; name another folder, or set data.target_cache=none", err)
		}
		k.stored = len(k.rows)
	}
	return nil
}
