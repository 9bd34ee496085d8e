package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/tasks"
)

func newEvalCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "eval",
		Short: "Measure the features of a network",
		Example: `  vittool eval knn --from runs/pictures --data cifar10
  vittool eval linear --from runs/pictures --data cifar10`,
	},
		newEvalKNNCommand(),
		newEvalLinearCommand(),
	)
}

type evalOptions struct {
	features featureOptions
	split    splitOptions
}

func (o *evalOptions) addFlags(cmd *cobra.Command) {
	o.features.addFlags(cmd)
	o.split.addFlags(cmd)
}

// evalResult is the output of an evaluation, the same for every probe.
type evalResult struct {
	Probe string `json:"probe"`
	From  string `json:"from"`
	Model string `json:"model"`
	Step  int    `json:"step"`
	// Network, Pool and Blocks say which features were evaluated: of which network, of which
	// tokens, after which blocks.
	Network tasks.Network `json:"network"`
	Pool    tasks.Pool    `json:"pool"`
	Blocks  []int         `json:"blocks"`
	part    string        // the word for one of them
	Input   inputResult   `json:"input"`

	Train     string `json:"train"`
	Test      string `json:"test"`
	TrainRows int    `json:"train_images"`
	TestRows  int    `json:"test_images"`
	Classes   int    `json:"classes"`
	// Untested classes have no test images, Unknown ones no training images. LeftOut counts the
	// images without a class, or with an unknown one.
	Untested []string `json:"classes_without_test_images,omitempty"`
	Unknown  []string `json:"classes_without_training_images,omitempty"`
	LeftOut  int      `json:"left_out,omitempty"`

	Scores   []score `json:"scores"`
	ElapsedS float64 `json:"elapsed_s"`
}

// score is one figure: shares of the test images.
type score struct {
	Name string  `json:"name"`
	Top1 float64 `json:"top1"`
	// Top5 is nil where a prediction ranks five classes or fewer: few classes, or few neighbors.
	Top5 *float64 `json:"top5,omitempty"`
	// StdErr is the standard error of Top1 for that many test images.
	StdErr float64 `json:"standard_error"`
}

// newScore is the figure of n test images. candidates is the greatest number of classes that a
// prediction can rank; a top-5 says nothing where it is five or less.
func newScore(name string, top1, top5 float64, n, candidates int) score {
	s := score{Name: name, Top1: top1, StdErr: math.Sqrt(top1 * (1 - top1) / float64(n))}
	if candidates > 5 {
		s.Top5 = &top5
	}
	return s
}

// probe is one way to measure features.
type probe struct {
	name   string
	linear bool // a linear classifier, which an objective may recommend more blocks for
	// enough refuses a number of images to learn from: before any feature is computed, and again
	// when some of them could not be read. May be nil.
	enough func(path string, images int) error
	run    func(x *extractor, train, test *tasks.Features) ([]score, error)
}

// runEval computes both sets of features and hands them to the probe.
func runEval(cmd *cobra.Command, o *evalOptions, overrides []string, p probe) error {
	start := time.Now()
	ctx, stdout := cmd.Context(), cmd.OutOrStdout()
	trainPath, testPath, err := o.split.paths(cmd)
	if err != nil {
		return err
	}
	x, err := o.features.open(cmd, cmd.ErrOrStderr(), overrides)
	if err != nil {
		return err
	}
	defer x.close()
	if p.linear && len(x.blocks) == 0 {
		x.blocks = x.model.RecommendedLinearBlocks()
	}
	train, test, match, err := labelled(ctx, x, trainPath, testPath, o.split.limit, p.enough)
	if err != nil {
		return err
	}
	scores, err := p.run(x, train, test)
	if err != nil {
		return err
	}
	r := evalResult{
		Probe: p.name, From: x.model.Path, Model: x.model.Info.Name, Step: x.model.Step,
		Network: x.model.Network, Pool: train.Pool, Blocks: train.Blocks, part: x.model.Info.Part(),
		Input: newInputResult(x.model, train.Height, train.Width, train.Fitting),
		Train: trainPath, Test: testPath, TrainRows: train.Rows, TestRows: test.Rows,
		Classes: len(match.Classes), Untested: match.Untested, Unknown: match.Unknown, LeftOut: match.Unlabelled + match.OfUnknown,
		Scores: scores, ElapsedS: time.Since(start).Seconds(),
	}
	if o.features.output.json {
		return ui.JSON(stdout, r)
	}
	return r.write(stdout)
}

// labelled opens both sets, then computes their features. enough may refuse a number of images. Images
// of no common class are left out.
func labelled(ctx context.Context, x *extractor, trainPath, testPath string, limit int, enough func(path string, images int) error) (train, test *tasks.Features, images *tasks.Labelled, err error) {
	if images, err = tasks.OpenLabelled(trainPath, testPath, x.source(), limit); err != nil {
		return nil, nil, nil, err
	}
	defer images.Close()
	for _, n := range images.Notes() {
		x.note(n)
	}
	if enough == nil {
		enough = func(string, int) error { return nil }
	}
	if err := enough(trainPath, images.Train.Len()); err != nil {
		return nil, nil, nil, err
	}
	if train, err = x.features(ctx, "train", images.Train); err != nil {
		return nil, nil, nil, err
	}
	if err := enough(trainPath, train.Rows); err != nil {
		return nil, nil, nil, err
	}
	if test, err = x.features(ctx, "test", images.Test); err != nil {
		return nil, nil, nil, err
	}
	images.Relabel(train)
	images.Relabel(test)
	return train, test, images, nil
}

func (r *evalResult) write(w io.Writer) error {
	t := ui.NewTable()
	t.Row("from", r.From)
	t.Row("model", r.Model)
	pooled := poolTexts[r.Pool]
	if r.part == "stage" {
		pooled = "mean of the map"
	}
	t.Row("features", fmt.Sprintf("%s of %s %s, %s network", pooled, r.part, numbers(r.Blocks), networkTexts[r.Network]))
	t.Row("images", r.Input.view())
	t.Row("colors", r.Input.norm())
	t.Row("data", fmt.Sprintf("%d images to learn from, %d to test on, %d classes", r.TrainRows, r.TestRows, r.Classes))
	for _, s := range r.Scores {
		figures := fmt.Sprintf("top-1 %.2f %% (± %.2f)", 100*s.Top1, 100*s.StdErr)
		if s.Top5 != nil {
			figures += fmt.Sprintf("  top-5 %.2f %%", 100**s.Top5)
		}
		t.Row(s.Name, figures)
	}
	t.Row("time", ui.Duration(time.Duration(r.ElapsedS*float64(time.Second))))
	return t.Write(w)
}

// poolTexts and networkTexts name the evaluated tokens and network in words.
var (
	poolTexts    = map[tasks.Pool]string{tasks.PoolMean: "mean of the patch tokens", tasks.PoolClass: "class token", tasks.PoolBoth: "class token and mean of the patch tokens"}
	networkTexts = map[tasks.Network]string{tasks.NetworkStudent: "trained", tasks.NetworkTeacher: "teacher"}
)

// numbers are joined by commas.
func numbers(values []int) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strconv.Itoa(v)
	}
	return strings.Join(texts, ", ")
}

func newEvalKNNCommand() *cobra.Command {
	var o evalOptions
	knn := tasks.KNN{}
	cmd := &cobra.Command{
		Use:   "knn [data.key=value ...]",
		Short: "Classify test images by the nearest training images",
		Long: `Classify each test image by a vote of the training images whose features are
nearest by cosine, weighted exp(similarity / temperature) (Wu et al. 2018).
Nothing is trained, so it is the quickest evaluation of a network.`,
		Example: `  vittool eval knn --from runs/pictures --data cifar10
  vittool eval knn --from backbone.safetensors --train a/train --test a/val --k 10,20,100`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(knn.K) == 0 || slices.Min(knn.K) < 1 || !(knn.Temperature > 0) {
				return &usageError{"--k must be at least 1 and --temperature above 0", ""}
			}
			enough := func(path string, images int) error { return knn.CheckImages(path, "--k", images) }
			return runEval(cmd, &o, args, probe{"knn", false, enough, func(x *extractor, train, test *tasks.Features) ([]score, error) {
				results, err := knn.Run(x.device, train, test)
				if err != nil {
					return nil, err
				}
				var scores []score
				for _, r := range results {
					scores = append(scores, newScore(fmt.Sprintf("knn %d", r.K), r.Top1, r.Top5, test.Rows, min(r.K, train.ClassCount())))
				}
				return scores, nil
			}})
		},
	}
	o.addFlags(cmd)
	cmd.Flags().IntSliceVar(&knn.K, "k", []int{20}, "numbers of neighbors, each evaluated")
	cmd.Flags().Float64Var(&knn.Temperature, "temperature", 0.07, "of the weights of votes")
	return cmd
}

func newEvalLinearCommand() *cobra.Command {
	var o evalOptions
	var logistic tasks.Logistic
	cmd := &cobra.Command{
		Use:   "linear [data.key=value ...]",
		Short: "Train a linear classifier on frozen features",
		Long: `Train a multinomial logistic regression on the features, standardized with
mean and deviation of the training images, by L-BFGS. The network stays as it is.
Features are of the last block, or of as many of the last as the run's objective
recommends for this; the result says which.`,
		Example: `  vittool eval linear --from runs/pictures --data cifar10
  vittool eval linear --from runs/pictures --data demo: --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if logistic.Iterations < 1 || !(logistic.Penalty >= 0) {
				return &usageError{"--iterations must be at least 1 and --penalty at least 0", ""}
			}
			logistic.Threads = o.features.threads
			return runEval(cmd, &o, args, probe{"linear", true, nil, func(x *extractor, train, test *tasks.Features) ([]score, error) {
				counter := ui.NewCounter(x.stderr, isTerminal(x.stderr) && !o.features.output.quiet, "iterations", logistic.Iterations)
				defer counter.Close()
				logistic.Progress = func(iteration int, _ float64) { counter.Set(iteration) }
				r, err := tasks.Linear{Logistic: logistic}.Run(train, test)
				if err != nil {
					return nil, err
				}
				return []score{newScore("linear", r.Top1, r.Top5, test.Rows, train.ClassCount())}, nil
			}})
		},
	}
	o.addFlags(cmd)
	cmd.Flags().IntVar(&logistic.Iterations, "iterations", 100, "of L-BFGS")
	cmd.Flags().Float64Var(&logistic.Penalty, "penalty", 1e-4, "factor of the squared weights")
	return cmd
}
