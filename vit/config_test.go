package vit

import (
	"math"
	"strings"
	"testing"

	"github.com/vittool/vittool/internal/must"
)

func TestVariant(t *testing.T) {
	for _, tc := range []struct {
		name, full                             string
		image, patch, dim, depth, heads, count int
	}{
		// Counts are timm's, without the classification head.
		{"vit_base_patch16_224", "vit_base_patch16_224", 224, 16, 768, 12, 12, 85798656},
		{"vit_base_patch16", "vit_base_patch16_224", 224, 16, 768, 12, 12, 85798656},
		{"vit_base_patch16_384", "vit_base_patch16_384", 384, 16, 768, 12, 12, 86090496},
		{"vit_base_patch8_224", "vit_base_patch8_224", 224, 8, 768, 12, 12, 85807872},
		{"vit_tiny_patch16_224", "vit_tiny_patch16_224", 224, 16, 192, 12, 3, 5524416},
		{"vit_small_patch16_224", "vit_small_patch16_224", 224, 16, 384, 12, 6, 21665664},
		{"vit_large_patch16_224", "vit_large_patch16_224", 224, 16, 1024, 24, 16, 303301632},
		{"vit_huge_patch14_224", "vit_huge_patch14_224", 224, 14, 1280, 32, 16, 630764800},
		{"vit_tiny_patch4_32", "vit_tiny_patch4_32", 32, 4, 192, 12, 3, 5360832},
		{"vit_micro_patch4_32", "vit_micro_patch4_32", 32, 4, 128, 6, 4, 1204608},
		{"vit_nano_patch4_32", "vit_nano_patch4_32", 32, 4, 64, 4, 4, 207424},
		{"vit_micro_patch4", "vit_micro_patch4_32", 32, 4, 128, 6, 4, 1204608},
	} {
		c, err := Variant(tc.name)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if c.Name != tc.full || c.ImageH != tc.image || c.ImageW != tc.image || c.Patch != tc.patch || c.Dim != tc.dim || c.Depth != tc.depth || c.Heads != tc.heads {
			t.Errorf("%s: got %+v", tc.name, c)
		}
		if n := c.Parameters(); n != tc.count {
			t.Errorf("%s: %d parameters, want %d", tc.name, n, tc.count)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestVariantsAreAllValid(t *testing.T) {
	for _, name := range Variants() {
		c := must.Get(Variant(name))(t)
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		if c.Name != name {
			t.Errorf("%s names itself %s", name, c.Name)
		}
	}
}

func TestVariantUnknown(t *testing.T) {
	for _, tc := range []struct{ name, suggestion string }{
		{"vit_bas_patch16_224", "vit_base_patch16_224"},
		{"vit-tiny-patch4-32", "vit_tiny_patch4_32"},
		{"vit_base_patch16_225", "vit_base_patch16_224"},
		{"vit_base_patch7", "vit_base_patch"},
		{"", "vit_"},
		{strings.Repeat("x", 1000000), "vit_"},
		{"vit_base_patch99999999999999999999_224", "vit_base_patch"},
	} {
		_, err := Variant(tc.name)
		if err == nil {
			t.Errorf("%.40q: no error", tc.name)
		} else if !strings.Contains(err.Error(), tc.suggestion) {
			t.Errorf("%.40q: %.200v does not suggest %s", tc.name, err, tc.suggestion)
		}
	}
}

func TestValidateNamesTheBadValue(t *testing.T) {
	base := must.Get(Variant("vit_tiny_patch16"))(t)
	for _, tc := range []struct {
		change func(*Config)
		want   []string
	}{
		{func(c *Config) { c.ImageH = 225 }, []string{"height 225", "patch size 16"}},
		{func(c *Config) { c.ImageW = 30 }, []string{"width 30", "patch size 16"}},
		{func(c *Config) { c.ImageW = 0 }, []string{"224×0"}},
		{func(c *Config) { c.Patch = 0 }, []string{"patch size 0"}},
		{func(c *Config) { c.Channels = -1 }, []string{"-1 image channels"}},
		{func(c *Config) { c.Heads = 5; c.HeadDim = 0 }, []string{"192", "5 heads"}},
		{func(c *Config) { c.PosEmbed = "rope" }, []string{`"rope"`, "learned"}},
		{func(c *Config) { c.PosEmbed = PosSinCos; c.Dim, c.Heads, c.HeadDim = 6, 2, 0 }, []string{"width 6", "multiple of 4"}},
		{func(c *Config) { c.RelPos = "alibi" }, []string{`"alibi"`, "per_block"}},
		{func(c *Config) { c.RelPos = RelPosShared; c.ClassToken = false }, []string{"class token"}},
		{func(c *Config) { c.DropPath = 1 }, []string{"drop_path 1"}},
		{func(c *Config) { c.DropPath = math.NaN() }, []string{"drop_path NaN"}},
		{func(c *Config) { c.LNEps = math.NaN() }, []string{"ln_eps NaN"}},
		{func(c *Config) { c.MLPRatio = -1 }, []string{"mlp_ratio -1"}},
	} {
		c := base
		tc.change(&c)
		err := c.Validate()
		if err == nil {
			t.Errorf("%v: no error", tc.want)
			continue
		}
		for _, w := range tc.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	}
}

// The published cost of ViT-B/16 is 17.56 billion multiply-adds with the class token; a masked pass
// over a quarter of the patches costs about a quarter.
func TestForwardFLOPs(t *testing.T) {
	c, _ := Variant("vit_base_patch16")
	if got := c.ForwardFLOPs(0) / 2e9; math.Abs(got-17.56) > 0.02 {
		t.Errorf("ViT-B/16: %.3f G multiply-adds, want 17.56", got)
	}
	if r := c.ForwardFLOPs(49) / c.ForwardFLOPs(0); r > .25 || r < .23 {
		t.Errorf("a quarter of the patches costs %.3f of the whole", r)
	}
}

func TestDropPathRatesRiseLinearly(t *testing.T) {
	c := Config{Depth: 5, DropPath: .2}
	for i, want := range []float64{0, .05, .1, .15, .2} {
		if got := c.DropPathRate(i); math.Abs(got-want) > 1e-15 {
			t.Errorf("block %d: rate %g, want %g", i, got, want)
		}
	}
}
