package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A Report is everything `vittool bench` measures.
type Report struct {
	Machine    Machine               `json:"machine"`
	Kernels    []Kernel              `json:"kernels,omitempty"`
	Loader     *Loader               `json:"loader,omitempty"`
	Slower     []Slowdown            `json:"slower,omitempty"` // kernels, than in the baseline
	Step       *Step                 `json:"step,omitempty"`
	Boundary   *Boundary             `json:"plugin_boundary,omitempty"`
	Comparison []Comparison          `json:"comparison,omitempty"`
	Attention  []AttentionComparison `json:"attention,omitempty"`
	Memory     *MemoryComparison     `json:"memory,omitempty"`
	Notes      []string              `json:"notes,omitempty"` // parts that could not be measured, and why
}

// Machine is where the figures come from.
type Machine struct {
	OS      string  `json:"os"`
	Arch    string  `json:"arch"`
	CPU     string  `json:"cpu,omitempty"`
	Cores   int     `json:"cores"`
	Threads int     `json:"threads"`
	Kernels string  `json:"kernels"`     // level in use
	Peak    float64 `json:"peak_gflops"` // fused multiply-adds on all threads, measured
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report as tables for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s/%s, %s, %d cores, %d threads, %s kernels\n", m.OS, m.Arch, m.CPU, m.Cores, m.Threads, m.Kernels)
	fmt.Fprintf(&b, "peak of fused multiply-adds: %.0f GFLOP/s\n", m.Peak)
	if len(r.Kernels) > 0 {
		writeKernels(&b, r.Kernels)
	}
	if r.Loader != nil {
		r.Loader.write(&b)
	}
	if r.Step != nil {
		r.Step.write(&b)
	}
	if r.Boundary != nil {
		r.Boundary.write(&b)
	}
	if len(r.Attention) > 0 {
		writeAttention(&b, r.Attention)
	}
	if r.Memory != nil {
		r.Memory.write(&b)
	}
	if len(r.Comparison) > 0 {
		writeComparison(&b, r.Comparison)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\nnot measured: %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeKernels(w io.Writer, kernels []Kernel) {
	fmt.Fprint(w, "\nkernels (milliseconds and shares of the peak of the same moment: minimum / median / maximum)\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, k := range kernels {
		fmt.Fprintf(t, "%s\t%s\t%s\t", k.Name, k.Shape, k.Time.milliseconds())
		switch {
		case k.GFLOPs > 0:
			fmt.Fprintf(t, "%.0f GFLOP/s\t%s %% of peak\n", k.GFLOPs, k.OfPeak.percent("%.0f"))
		case k.NsPerValue > 0:
			fmt.Fprintf(t, "%.2f ns a parameter\t\n", k.NsPerValue)
		default:
			fmt.Fprintf(t, "%.1f GB/s\t\n", k.GigaBytes)
		}
	}
	t.Flush() // into a strings.Builder, which takes everything
}
