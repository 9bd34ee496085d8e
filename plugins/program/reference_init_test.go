package program_test

import (
	"strings"
	"testing"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/core/param"
	"github.com/vittool/vittool/internal/golden"
	"github.com/vittool/vittool/plugins/program/programtest"
	"github.com/vittool/vittool/vit"
)

func vitWeights(t *testing.T, stats programtest.InitStats, channels int, seed uint64) func(name string) *param.Parameter {
	b, err := vit.New(param.NewStore(), "", networkOf(t, stats).ViT(channels, vit.PosLearned), vit.SchemeDINO, seed)
	if err != nil {
		t.Fatal(err)
	}
	return b.Weight
}

// TestSchemes holds the other initialisations against the backbones of their methods' statistics, where these lie in
// the reference folder.
func TestSchemes(t *testing.T) {
	for _, tc := range []struct {
		folder, prefix string
		scheme         backbone.Scheme
		change         func(*vit.Config)
	}{
		{"dino", "backbone.", vit.SchemeDINO, func(*vit.Config) {}},
		{"mocov3", "base_encoder.", vit.SchemeMoCoV3, func(c *vit.Config) { c.PosEmbed = vit.PosSinCosRow }},
		{"beit", "", vit.SchemeBEiT, func(c *vit.Config) {
			c.RelPos, c.SplitQVBias, c.LayerScale, c.MaskToken = vit.RelPosShared, true, .1, true
		}},
	} {
		t.Run(tc.folder, func(t *testing.T) {
			path, ok := golden.File(t, tc.folder, "init_stats.json")
			if !ok {
				return
			}
			var stats programtest.InitStats
			golden.ReadJSON(t, path, &stats)
			c := networkOf(t, stats).ViT(3, vit.PosLearned)
			tc.change(&c)
			pooled, compared := map[string][]float64{}, 0
			for seed := range stats.Seeds {
				b, err := vit.New(param.NewStore(), "", c, tc.scheme, uint64(seed))
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range b.Weights() {
					pooled[p.Name] = append(pooled[p.Name], programtest.Wide(p.Data)...)
				}
			}
			for _, p := range stats.Params {
				if sample := pooled[strings.TrimPrefix(p.Name, tc.prefix)]; sample != nil && strings.HasPrefix(p.Name, tc.prefix) {
					programtest.CompareMoments(t, p.Name, sample, programtest.Moments{Mean: p.Mean, Std: p.Std, Min: p.Min, Max: p.Max, Kurtosis: p.Kurtosis})
					compared++
				}
			}
			if compared != len(pooled) {
				t.Errorf("%d of the backbone's %d weights were compared", compared, len(pooled))
			}
		})
	}
}

// networkOf reads the description of the network.
func networkOf(t *testing.T, stats programtest.InitStats) (c programtest.NetworkConfig) {
	t.Helper()
	stats.Decode(t, &c)
	return c
}
