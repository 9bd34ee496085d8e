package data

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/data/scenes"
)

// demoSource draws its images: see package scenes.
type demoSource struct {
	count, w, h int
	seed        uint64
	channels    int
}

// Demo options and their defaults.
const (
	demoCount = 2000
	demoSize  = 64
)

// openDemo reads demo:?count=2000&size=64&seed=0; width and height may stand in for size.
func openDemo(o Options) (Source, error) {
	const usage = "as in demo:?count=2000&size=64&seed=0"
	rest := strings.TrimPrefix(o.Path, "demo:")
	query := strings.TrimPrefix(rest, "?")
	if query == rest && rest != "" {
		return nil, problem(o.Path, usage, "options of demo: start with a question mark")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, &Error{Path: o.Path, Problem: "its options cannot be read", Hint: usage, Err: err}
	}
	limits := map[string][2]uint64{"count": {1, 1 << 31}, "size": {1, 4096}, "width": {1, 4096}, "height": {1, 4096}, "seed": {0, 1 << 62}}
	set := map[string]uint64{"count": demoCount, "size": demoSize}
	for key, v := range values {
		n, err := strconv.ParseUint(v[len(v)-1], 10, 63)
		limit, known := limits[key]
		switch {
		case !known:
			return nil, problem(o.Path, usage, "unknown option %q; valid are %q", key, []string{"count", "size", "width", "height", "seed"})
		case err != nil || n < limit[0] || n > limit[1]:
			return nil, problem(o.Path, usage, "%s=%s is not a whole number from %d to %d", key, v[len(v)-1], limit[0], limit[1])
		}
		set[key] = n
	}
	d := &demoSource{count: int(set["count"]), seed: set["seed"], channels: o.channels(),
		w: int(cmp.Or(set["width"], set["size"])), h: int(cmp.Or(set["height"], set["size"]))}
	if d.channels != 1 && d.channels != 3 {
		return nil, problem("data.channels", "use 1 or 3 with demo:", "scenes are drawn in color, %d channels were asked for", d.channels)
	}
	return d, nil
}

func (d *demoSource) Len() int           { return d.count }
func (d *demoSource) Name(id int) string { return fmt.Sprintf("scene %d", id) }
func (d *demoSource) Class(id int) int   { return id % len(scenes.Classes) }
func (d *demoSource) Classes() []string  { return slices.Clone(scenes.Classes) }
func (d *demoSource) Channels() int      { return d.channels }
func (d *demoSource) Close() error       { return nil }

// drawingVersion changes whenever the drawings do.
const drawingVersion = 1

func (d *demoSource) Fingerprint() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "scenes %d: %d of %dx%d, seed %d", drawingVersion, d.count, d.w, d.h, d.seed))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (d *demoSource) Image(id int) (*pixels.Image, error) {
	s := scenes.Draw(d.seed, uint64(id), d.w, d.h)
	m := &pixels.Image{Pix: s.Pix, W: s.W, H: s.H, C: 3}
	if d.channels == 1 {
		gray := &pixels.Image{}
		pixels.Luma(gray, m)
		return gray, nil
	}
	return m, nil
}

// Scene returns the whole drawing, with its mask and depth.
func (d *demoSource) Scene(id int) *scenes.Scene {
	return scenes.Draw(d.seed, uint64(id), d.w, d.h)
}

// SceneSource is the source of demo:, which has dense labels too.
type SceneSource interface {
	Source
	Scene(id int) *scenes.Scene
}
