package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tasks/pictures"
)

func newReportCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "report RUN",
		Short: "Sum up a run folder and draw its loss curve",
		Example: `  vittool report runs/mae-vit_micro_patch4_32
  vittool report runs/pictures --json`,
		Args: oneArg("the folder of a run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runReport(cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// runReportResult is the output of `vittool report --json`.
type runReportResult struct {
	Run         string     `json:"run"`
	Info        *runs.Info `json:"info"`
	Epochs      []epochRow `json:"epochs"`
	Evaluations []evalRow  `json:"evaluations,omitempty"`
	Checkpoints []string   `json:"checkpoints"`
	Curve       string     `json:"curve"`
}

type epochRow struct {
	Step  int     `json:"step"`
	Epoch int     `json:"epoch"`
	Loss  float64 `json:"loss"`
}

type evalRow struct {
	Step  int     `json:"step"`
	Epoch float64 `json:"epoch"`
	KNN   float64 `json:"knn"`
}

func runReport(w, stderr io.Writer, dir string, asJSON bool) error {
	info, err := runs.ReadInfo(dir)
	if err != nil {
		return &usageError{err.Error(), "give the folder that pretrain wrote, with --out or under runs/"}
	}
	curve, err := readCurve(dir)
	if err != nil {
		return err
	}
	report := runReportResult{Run: dir, Info: info, Epochs: []epochRow{}, Checkpoints: []string{}}
	for _, e := range curve.Epochs {
		report.Epochs = append(report.Epochs, epochRow{e.Step, e.Epoch, e.Loss})
	}
	for _, e := range curve.Evals {
		report.Evaluations = append(report.Evaluations, evalRow{e.Step, e.Epoch, e.KNN})
	}
	list, err := runs.Checkpoints(dir)
	if err != nil {
		return err
	}
	for _, c := range list {
		report.Checkpoints = append(report.Checkpoints, c.Path)
	}
	if len(curve.Steps) > 0 {
		if report.Curve, err = drawCurve(dir); err != nil { // the folder may be somebody else's, or an archive
			fmt.Fprintf(stderr, "warning: the loss curve is not drawn: %v\n", err)
			report.Curve = ""
		}
	}
	if asJSON {
		return ui.JSON(w, report)
	}
	return report.write(w)
}

func (r *runReportResult) write(w io.Writer) error {
	t := ui.NewTable()
	i := r.Info
	t.Row("run", r.Run)
	t.Row("state", fmt.Sprintf("%s, step %d of %d", i.Status, i.Step, i.TotalSteps))
	if i.Error != "" {
		t.Row("error", i.Error)
	}
	t.Row("objective", fmt.Sprintf("%s %s", i.Objective.Name, i.Objective.Version))
	t.Row("model", i.Model)
	t.Row("data", fmt.Sprintf("%s, %d images", i.Data.Path, i.Data.Images))
	t.Row("seed", fmt.Sprint(i.Seed))
	t.Row("machine", fmt.Sprintf("%s/%s, %d threads, %s kernels", i.Machine.OS, i.Machine.Arch, i.Machine.Threads, i.Machine.Kernels))
	t.Row("time", fmt.Sprintf("started %s, last written %s", i.Started.Format(time.DateTime), i.Updated.Format(time.DateTime)))
	if n := len(r.Checkpoints); n > 0 {
		t.Row("checkpoint", r.Checkpoints[n-1])
	}
	if r.Curve != "" {
		t.Row("curve", r.Curve)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	losses := ui.NewTable("EPOCH", "STEP", "LOSS")
	for _, n := range shown(len(r.Epochs)) {
		e := r.Epochs[n]
		losses.Row(fmt.Sprint(e.Epoch), fmt.Sprint(e.Step), fmt.Sprintf("%.5f", e.Loss))
	}
	evaluations := ui.NewTable("EPOCH", "STEP", "KNN")
	for _, n := range shown(len(r.Evaluations)) {
		e := r.Evaluations[n]
		evaluations.Row(fmt.Sprintf("%.4g", e.Epoch), fmt.Sprint(e.Step), fmt.Sprintf("%.2f %%", 100*e.KNN))
	}
	for _, part := range []struct {
		lines int
		table *ui.Table
	}{{len(r.Epochs), losses}, {len(r.Evaluations), evaluations}} {
		if part.lines == 0 {
			continue
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := part.table.Write(w); err != nil {
			return err
		}
	}
	return nil
}

// shown are the lines of a table of n that are printed: about twenty show a curve.
func shown(n int) (lines []int) {
	every := (n + 19) / 20
	for i := range n {
		if (i+1)%every == 0 || i == 0 || i == n-1 {
			lines = append(lines, i)
		}
	}
	return lines
}

func readCurve(dir string) (*pictures.Curve, error) {
	path := filepath.Join(dir, runs.MetricsFile)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer f.Close()
	curve, err := pictures.ReadCurve(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return curve, nil
}

// drawCurve draws RUN/pictures/loss.png from the metrics and returns its path.
func drawCurve(dir string) (string, error) {
	curve, err := readCurve(dir)
	if err != nil {
		return "", err
	}
	img, err := curve.Draw(filepath.Base(dir))
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, runs.PicturesDir, "loss.png")
	return path, pictures.WritePNG(path, img)
}
