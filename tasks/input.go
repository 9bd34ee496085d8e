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
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// Input says how a network wants its images, and how that is known. The mean and the
// deviation themselves are fields of Model.
type Input struct {
	Normalisation string // where mean and deviation come from
	Fitting       data.Fitting
	// fault is that of a description that asks for a fitting that there is not.
	fault error
}

// timmFitting is timm's evaluation transform for models that say nothing of theirs.
var timmFitting = data.Fitting{Crop: data.CropCentre, CropPct: 0.875, Interpolation: pixels.Bicubic}

// ownFitting is that of networks trained here: timm's, but images that have the size
// of the network already are shown as they are.
var ownFitting = data.Fitting{Crop: data.CropCentre, CropPct: 0.875, AsIs: true, Interpolation: pixels.Bicubic}

// fitting is the one that was asked for, or else the network's.
func (in *Input) fitting(asked *data.Fitting) (data.Fitting, error) {
	switch {
	case asked != nil:
		return *asked, nil
	case in.fault != nil:
		return data.Fitting{}, in.fault
	case in.Fitting == data.Fitting{}:
		return ownFitting, nil
	}
	return in.Fitting, nil
}

// Normalisation is a mean and a deviation per channel, on the scale 0 to 1.
type Normalisation struct {
	Name      string
	Mean, Std []float64
}

// Normalisations lists those that weights of others were trained with, by timm's names.
func Normalisations() []Normalisation {
	dpn := 1 / (.0167 * 255)
	return []Normalisation{
		{"imagenet", imageNetMean, imageNetStd},
		{"inception", []float64{0.5, 0.5, 0.5}, []float64{0.5, 0.5, 0.5}},
		{"clip", []float64{0.48145466, 0.4578275, 0.40821073}, []float64{0.26862954, 0.26130258, 0.27577711}},
		{"dpn", []float64{124.0 / 255, 117.0 / 255, 104.0 / 255}, []float64{dpn, dpn, dpn}},
		{"none", []float64{0, 0, 0}, []float64{1, 1, 1}},
	}
}

// cardName is the file in which timm describes the weights beside it.
const cardName = "config.json"

// modelCard is timm's description of weights.
type modelCard struct {
	Architecture string     `json:"architecture"`
	Pretrained   *cardInput `json:"pretrained_cfg"`
	cardInput               // older ones have the fields here
}

type cardInput struct {
	Mean          []float64 `json:"mean"`
	Std           []float64 `json:"std"`
	CropPct       float64   `json:"crop_pct"`
	CropMode      string    `json:"crop_mode"`
	Interpolation string    `json:"interpolation"`
}

// readInput finds out how the network wants its images: as the options say, the
// metadata of the file, timm's description beside it, or as most do.
func (m *Model) readInput(file *tensor.File, o LoadOptions) error {
	m.Input = Input{Normalisation: "as the file says", Fitting: ownFitting}
	if file.Meta[runs.MetaModel] == "" {
		m.Input.Fitting = timmFitting
		card, err := readCard(filepath.Join(filepath.Dir(file.Path), cardName), m.Info.Name, len(o.Mean) > 0)
		if err != nil {
			return err
		}
		if card != nil {
			m.Input.fit(card)
			if len(o.Mean) == 0 && file.Meta[runs.MetaMean] == "" {
				o.Mean, o.Std = card.Mean, card.Std
				m.Input.Normalisation = "as " + cardName + " beside the weights says"
			} else if len(o.Mean) > 0 {
				m.Input.Normalisation = "as asked for"
			}
		}
	}
	switch {
	case m.Input.Normalisation != "as the file says":
	case len(o.Mean) > 0:
		m.Input.Normalisation = "as asked for"
	case file.Meta[runs.MetaMean] == "" && m.Info.Channels == 3:
		m.Input.Normalisation = "ImageNet's: the file says nothing of its own"
	case file.Meta[runs.MetaMean] == "":
		m.Input.Normalisation = "to -1..1: the file says nothing of its own"
	}
	var err error
	m.Mean, m.Std, err = fileNormalisation(file, m.Info.Channels, o)
	return err
}

// readCard returns timm's description in a file, nil where there is none. given says
// that the normalisation is known without it.
func readCard(path, model string, given bool) (*cardInput, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var card modelCard
	if err == nil {
		err = json.Unmarshal(text, &card)
	}
	if err != nil {
		return nil, &data.Error{Path: path, Problem: "can't be read, and may describe the weights beside it", Err: err, Hint: "repair it, or move the weights elsewhere"}
	}
	in := &card.cardInput
	if card.Pretrained != nil {
		in = card.Pretrained
	}
	if len(in.Mean) == 0 || len(in.Std) == 0 {
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
		Hint: "name that one, move the weights away from it, or give their normalisation with --norm or --mean and --std"}
}

// fit takes the fitting of a description.
func (in *Input) fit(c *cardInput) {
	if c.CropPct != 0 {
		in.Fitting.CropPct = c.CropPct
	}
	var err error
	if c.Interpolation != "" {
		in.Fitting.Interpolation, err = pixels.ParseFilter(c.Interpolation)
	}
	switch c.CropMode {
	case "", "center":
	case "squash":
		in.Fitting.Crop = data.CropSquash
	default:
		err = fmt.Errorf("crop_mode %q; valid are center and squash", c.CropMode)
	}
	if err == nil && !(in.Fitting.CropPct >= 1.0/16 && in.Fitting.CropPct <= 1) {
		err = fmt.Errorf("crop_pct %g is not within 1/16..1", in.Fitting.CropPct)
	}
	if err != nil {
		in.fault = &data.Error{Path: cardName, Problem: "asks for images in a way that there is not", Err: err, Hint: "choose one with --crop-pct or --resize"}
	}
}
