// Package scenes draws landscapes: sky, clouds, mountains, ground or water, and things standing in
// them, lit by one sun. A scene is a pure function of its seed, number and size, and comes with a
// class label, a segmentation mask and a depth map, so every command can run with no data at hand.
package scenes

import (
	"cmp"
	"slices"

	"github.com/vittool/vittool/internal/prng"
)

// Classes are the labels of a scene: the thing in its foreground.
var Classes = []string{"balloon", "boat", "car", "cow", "house", "lighthouse", "mushroom", "tree"}

// Indices into Classes.
const (
	balloon = iota
	boat
	car
	cow
	house
	lighthouse
	mushroom
	tree
)

// Regions are the labels of a mask, the surface seen in a pixel. The classes follow the regions of
// the landscape.
var Regions = append([]string{"sky", "ground", "water", "mountain"}, Classes...)

// Indices into Regions.
const (
	regionSky = iota
	regionGround
	regionWater
	regionMountain
	regionThings // + class
)

// MaxDepth is the depth of the sky.
const MaxDepth = 100

// Scene is one drawing.
type Scene struct {
	W, H  int
	Pix   []uint8   // (H, W, 3) RGB
	Mask  []uint8   // (H, W) index into Regions
	Depth []float32 // (H, W) distance from the eye in metres, at most MaxDepth
	Class int       // index into Classes
}

// Draw draws scene number id of the series that seed names. Classes take turns, so any stretch of a
// series is balanced.
func Draw(seed, id uint64, w, h int) *Scene {
	rng := prng.New(seed, "scene", id)
	s := newStage(rng, w, h)
	class := int(id % uint64(len(Classes)))
	s.landscape(class == boat)
	s.cast(class)
	return s.finish(class)
}

// prop is one thing on the stage: its base stands at (x, y), it is size high.
type prop struct {
	class   int
	x, y    float64
	size    float64
	variety uint64
}

// cast places the subject and some things around it, far ones first.
func (s *stage) cast(class int) {
	rng := s.rng
	subject := prop{class: class, x: s.aspect * (0.3 + 0.4*rng.Float64()), y: 0.80 + 0.14*rng.Float64(), size: 0.42 + 0.2*rng.Float64()}
	if class == balloon {
		subject.y = 0.62 + 0.2*rng.Float64()
	}
	subject.size *= things[class].scale
	subject.variety = rng.Uint64()
	props := []prop{subject}
	for range 1 + rng.IntN(5) {
		// Far things stand near the horizon and look small.
		near := rng.Float64() * rng.Float64()
		p := prop{x: s.aspect * rng.Float64(), y: s.horizon + (0.03 + 0.3*near), variety: rng.Uint64()}
		p.size = 0.07 + 0.32*near
		switch rng.IntN(6) {
		case 0:
			p.class = house
		case 1:
			p.class = cow
			p.size *= 0.4
		case 2:
			p.class = balloon
			p.y = s.horizon * (0.3 + 0.5*rng.Float64())
			p.size = 0.08 + 0.1*rng.Float64()
		default:
			p.class = tree
		}
		if s.water && p.class != balloon {
			p.class = boat
		}
		props = append(props, p)
	}
	slices.SortStableFunc(props, func(a, b prop) int { return cmp.Compare(a.y, b.y) })
	for _, p := range props {
		s.draw(p)
	}
}

// things are the classes: how each is drawn, its size as the subject and the size of its shadow, both
// relative; balloons and boats have none.
var things = [...]struct {
	draw   func(*stage, prop, *prng.Generator)
	scale  float64
	shadow point
}{
	balloon:    {draw: (*stage).balloon, scale: 1},
	boat:       {draw: (*stage).boat, scale: 1},
	car:        {(*stage).car, 0.62, point{1.1, 0.12}},
	cow:        {(*stage).cow, 0.8, point{0.7, 0.1}},
	house:      {(*stage).house, 1, point{0.75, 0.1}},
	lighthouse: {(*stage).lighthouse, 1.25, point{0.3, 0.05}},
	mushroom:   {(*stage).mushroom, 0.8, point{0.5, 0.09}},
	tree:       {(*stage).tree, 1.2, point{0.4, 0.07}},
}

// draw draws one thing with its shadow.
func (s *stage) draw(p prop) {
	s.region = uint8(regionThings + p.class)
	s.distance = s.depthAt(p.y)
	if p.class == balloon {
		s.distance = MaxDepth * 0.3 / (1 + 4*p.size)
	}
	t := things[p.class]
	if t.shadow.x > 0 {
		s.shadow(p.x, p.y, p.size*t.shadow.x, p.size*t.shadow.y)
	}
	t.draw(s, p, prng.New(p.variety, "prop"))
}
