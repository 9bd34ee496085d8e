package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
)

// Files that describe the weights beside them: timm's, and that of Hugging Face's image processors.
const (
	cardName      = "config.json"
	processorName = "preprocessor_config.json"
)

// modelCard is timm's description of weights.
type modelCard struct {
	Architecture string     `json:"architecture"`
	Pretrained   *cardInput `json:"pretrained_cfg"`
	cardInput               // older files have the fields at this level
}

// cardInput describes images. Any field may be missing.
type cardInput struct {
	Mean          []float64 `json:"mean"`
	Std           []float64 `json:"std"`
	CropPct       float64   `json:"crop_pct"`
	CropMode      string    `json:"crop_mode"`
	Interpolation string    `json:"interpolation"`
	InputSize     []int     `json:"input_size"` // [C, H, W]

	// Of Hugging Face's image processors.
	ImageMean []float64 `json:"image_mean"`
	ImageStd  []float64 `json:"image_std"`
}

// stated reports whether anything is.
func (c *cardInput) stated() bool {
	return len(c.Mean)+len(c.Std)+len(c.ImageMean)+len(c.ImageStd)+len(c.InputSize) > 0 || c.CropPct != 0 || c.CropMode != "" || c.Interpolation != ""
}

// describedInput is the description of the images in the files beside the weights.
type describedInput struct {
	cardInput
	from  string   // the file that states mean and deviation; empty for none
	notes []string // statements that are left out
}

// readCards reads the descriptions in a folder. With given, the normalization is known without
// them.
func readCards(dir, model string, given bool) (*describedInput, error) {
	d := &describedInput{}
	card, err := readCard(filepath.Join(dir, cardName), model, given)
	if err != nil {
		return nil, err
	}
	if card != nil {
		d.cardInput = *card
		err = d.normalization(dir, cardName, card, given)
	}
	if err != nil || given || d.from != "" {
		return d, err
	}
	var processor cardInput
	path := filepath.Join(dir, processorName)
	if found, err := readJSON(path, &processor); err != nil || !found {
		return d, err
	}
	return d, d.normalization(dir, processorName, &processor, given)
}

// normalization takes that of a file where it states both mean and deviation.
func (d *describedInput) normalization(dir, name string, c *cardInput, given bool) error {
	mean, std := c.Mean, c.Std
	if len(mean) == 0 && len(std) == 0 {
		mean, std = c.ImageMean, c.ImageStd
	}
	has, lacks := "a mean", "standard deviation"
	if len(mean) == 0 {
		has, lacks = "a standard deviation", "mean"
	}
	switch {
	case given || len(mean) == 0 && len(std) == 0:
		return nil
	case len(mean) == 0 || len(std) == 0:
		d.notes = append(d.notes, fmt.Sprintf("%s beside the weights states %s and no %s: it is left out; give both with --mean and --std", name, has, lacks))
		return nil
	}
	if err := CheckNormalization(mean, std); err != nil {
		return &data.Error{Path: filepath.Join(dir, name), Problem: "states a normalization that can't be used", Err: err,
			Hint: DivideHint + "; give them with --mean and --std"}
	}
	d.Mean, d.Std, d.from = mean, std, name
	return nil
}

// readJSON reads a description, false where there is none.
func readJSON(path string, into any) (bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return false, &data.Error{Path: path, Problem: "can't be read; it may describe the weights beside it", Err: err, Hint: "repair it, or move the weights elsewhere"}
	}
	return true, nil
}

// readCard returns timm's description in a file, nil where there is none.
func readCard(path, model string, given bool) (*cardInput, error) {
	var card modelCard
	if found, err := readJSON(path, &card); err != nil || !found {
		return nil, err
	}
	in := &card.cardInput
	if card.Pretrained != nil {
		in = card.Pretrained
	}
	if !in.stated() {
		return nil, nil // of another tool
	}
	architecture, _, _ := strings.Cut(card.Architecture, ".")
	if architecture == "" || architecture == model {
		return in, nil
	}
	if given {
		return nil, nil
	}
	return nil, &configs.Error{Key: "model", Value: model, Source: path, Problem: "describes the weights of a " + card.Architecture,
		Hint: "name that one, move the weights away from it, or give their normalization with --norm or --mean and --std"}
}
