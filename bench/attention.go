package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/vittool/vittool/core/device"
)

// An AttentionComparison is attention of one shape, forward and backward, here and in PyTorch's
// fused kernel.
type AttentionComparison struct {
	Batch  int     `json:"batch"`
	Tokens int     `json:"tokens"`
	Heads  int     `json:"heads"`
	Width  int     `json:"width"` // of a head
	Peer   string  `json:"peer"`
	Ours   Summary `json:"vittool_seconds"`
	Theirs Summary `json:"peer_seconds"`
	Ratio  Summary `json:"ratio"`         // theirs over ours: how many times faster we are
	OfPeak Summary `json:"share_of_peak"` // our share of the peak that was measured next to each turn
}

// attentionShapes are those of ViT-Ti/4 on 32 pixels (kept patches, all patches in the decoder), of
// ViT-B/16 on 224 pixels (kept, all), and of 448 and 896 pixels: batch, tokens, heads, width of a
// head.
var attentionShapes = [][4]int{{128, 17, 3, 64}, {128, 65, 3, 32}, {8, 50, 12, 64}, {8, 197, 12, 64}, {2, 785, 12, 64}, {1, 3137, 3, 64}}

// CompareAttention measures the shapes of attention here and in PyTorch, in turn.
func CompareAttention(ctx context.Context, dev *device.CPU, warmup, rounds int) (_ []AttentionComparison, err error) {
	peer, err := StartPyTorch(ctx, PyTorchOptions{Model: "vit_tiny_patch4_32", Batch: 1, Threads: dev.Threads(), Bare: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, peer.Close()) }()
	var out []AttentionComparison
	for _, s := range attentionShapes {
		j, err := attention(s[0], s[1], s[2], s[3])(dev)
		if err != nil {
			return nil, err
		}
		if err := j.run(); err != nil { // warm
			return nil, err
		}
		start := time.Now()
		if err := j.run(); err != nil {
			return nil, err
		}
		times := max(1, int(0.02/time.Since(start).Seconds())) // a few hundredths of a second a turn
		peaks := Series{dev.PeakNow()}
		ours := stepper{"vittool", func(context.Context) (time.Duration, error) {
			start := time.Now()
			for range times {
				if err := j.run(); err != nil {
					return 0, err
				}
			}
			d := time.Since(start) / time.Duration(times)
			peaks = append(peaks, dev.PeakNow())
			return d, nil
		}}
		theirs := stepper{peer.Name(), func(context.Context) (time.Duration, error) { return peer.Attention(s[0], s[1], s[2], s[3], times) }}
		r, err := Interleave(ctx, warmup, rounds, ours, theirs)
		if err != nil {
			return nil, err
		}
		out = append(out, AttentionComparison{Batch: s[0], Tokens: s[1], Heads: s[2], Width: s[3], Peer: peer.Name(),
			Ours: r[0].Summary(), Theirs: r[1].Summary(), Ratio: r[1].Over(r[0]).Summary(), OfPeak: shareOfPeak(j.flops, r[0], peaks[len(peaks)-1-len(r[0]):]).Summary()})
	}
	return out, nil
}

func writeAttention(w io.Writer, list []AttentionComparison) {
	fmt.Fprintf(w, "\nattention, forward and backward, against %s, %d turns of each (milliseconds: minimum / median / maximum)\n", list[0].Peer, list[0].Ratio.Count)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range list {
		fmt.Fprintf(t, "%d×%d tokens, %d heads of %d\tvittool %s, %s %% of peak\tpeer %s\ttimes faster %s\n", c.Batch, c.Tokens, c.Heads, c.Width,
			c.Ours.milliseconds(), c.OfPeak.percent("%.0f"), c.Theirs.milliseconds(), c.Ratio.Format("%.2f"))
	}
	t.Flush() // into a strings.Builder, which takes everything
}
