package tasks

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/data/pixels"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// Input describes the images that a network expects. Their mean and deviation are fields of Model.
type Input struct {
	Normalization string // the source of mean and deviation
	Fitting       data.Fitting
	// Assumed: neither the file nor the options state mean and deviation.
	Assumed bool
	// described is the description that fault, an unknown fitting, is about.
	described cardInput
	fault     error
	// Notes tell of statements about the images that were left out.
	Notes []string
}

// timmFitting is timm's evaluation transform of models without a description.
var timmFitting = data.Fitting{Crop: data.CropCenter, CropPct: 0.875, Interpolation: pixels.Bicubic}

// ownFitting is the fitting of networks trained here: timm's, but an image that has the size of the
// network is not scaled.
var ownFitting = data.Fitting{Crop: data.CropCenter, CropPct: 0.875, AsIs: true, Interpolation: pixels.Bicubic}

// fitting returns asked or, if that is nil, the fitting of the network.
func (in *Input) fitting(asked *data.Fitting) (data.Fitting, error) {
	switch {
	case asked != nil:
		return *asked, nil
	case in.fault != nil:
		return data.Fitting{}, in.fault
	}
	return in.Fitting, nil
}

// Normalization is a mean and a deviation per channel, on the scale 0 to 1.
type Normalization struct {
	Name      string
	Mean, Std []float64
}

// Normalizations lists the usual ones of published weights, under timm's names.
func Normalizations() []Normalization {
	mean, std := configs.Data{Channels: 3}.Normalization()
	dpn := 1 / (.0167 * 255)
	return []Normalization{
		{"imagenet", mean, std},
		{"inception", []float64{0.5, 0.5, 0.5}, []float64{0.5, 0.5, 0.5}},
		{"clip", []float64{0.48145466, 0.4578275, 0.40821073}, []float64{0.26862954, 0.26130258, 0.27577711}},
		{"dpn", []float64{124.0 / 255, 117.0 / 255, 104.0 / 255}, []float64{dpn, dpn, dpn}},
		{"none", []float64{0, 0, 0}, []float64{1, 1, 1}},
	}
}

// DivideHint is the remedy for a mean and a deviation on the scale of bytes.
const DivideHint = "they stand for colours from 0 to 1: divide those of bytes by 255"

// CheckNormalization refuses a mean outside 0..1 and a deviation outside 0.000001..10, the limits of
// data.mean and data.std.
func CheckNormalization(mean, std []float64) error {
	for _, v := range mean {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("mean %g is not within 0..1", v)
		}
	}
	for _, v := range std {
		if !(v >= 1e-6 && v <= 10) {
			return fmt.Errorf("std %g is not within 0.000001..10", v)
		}
	}
	return nil
}

// readInput takes fitting and normalization from the options, the metadata of the file, the
// descriptions beside it, or the defaults, in this order. prefix is that of the backbone's tensors.
func (m *Model) readInput(file *tensor.File, prefix string, o LoadOptions) error {
	m.Input = Input{Normalization: "as the file says", Fitting: ownFitting}
	if file.Meta[runs.MetaModel] == "" {
		m.Input.Fitting = timmFitting
		card, err := readCards(filepath.Dir(file.Path), m.Info.Name, len(o.Mean) > 0)
		if err != nil {
			return err
		}
		m.Input.Notes = card.notes
		m.Input.fit(&card.cardInput)
		m.takeSize(file, prefix, card.InputSize)
		if len(o.Mean) > 0 {
			m.Input.Normalization = "as asked for"
		} else if card.from != "" && file.Meta[runs.MetaMean] == "" {
			o.Mean, o.Std = card.Mean, card.Std
			m.Input.Normalization = "as " + card.from + " beside the weights says"
		}
	}
	switch {
	case m.Input.Normalization != "as the file says":
	case len(o.Mean) > 0:
		m.Input.Normalization = "as asked for"
	case file.Meta[runs.MetaMean] == "" || file.Meta[metaAssumed] != "":
		m.Input.Assumed = true
		if m.Input.Normalization = "ImageNet's: the file says nothing of its own"; m.Info.Channels != 3 {
			m.Input.Normalization = "to -1..1: the file says nothing of its own"
		}
	}
	if text := file.Meta[metaFitting]; text != "" {
		if err := m.Input.readFitting(text); err != nil {
			return &data.Error{Path: file.Path, Problem: "its metadata \"fitting\" can't be read", Err: err}
		}
	}
	var err error
	m.Mean, m.Std, err = fileNormalization(file, m.Info.Channels, o)
	return err
}

// takeSize sets the image size of a description, [C, H, W], where the tensors of the file are those
// of such a network. If they are not, a note tells.
func (m *Model) takeSize(file *tensor.File, prefix string, size []int) {
	if len(size) != 3 || size[0] == m.Info.Channels && size[1] == m.Info.ImageH && size[2] == m.Info.ImageW {
		return
	}
	c, err := m.Config.With(backbone.Settings{Height: size[1], Width: size[2]})
	switch {
	case size[0] != m.Info.Channels:
		err = fmt.Errorf("the network reads %d channels", m.Info.Channels)
	case err == nil:
		for _, w := range c.Weights() {
			if t, ok := file.Get(prefix + w.Name); ok && !t.Shape.Equal(w.Shape) {
				err = fmt.Errorf("%s is %v, and the network would have %v", t.Name, t.Shape, w.Shape)
				break
			}
		}
	}
	if err != nil {
		m.Input.Notes = append(m.Input.Notes, fmt.Sprintf("%s beside the weights: input_size %v is not taken: %v", cardName, size, err))
		return
	}
	m.Config, m.Info = c, c.Info()
}

// exportedFitting is the metadata "fitting" of an exported file.
type exportedFitting struct {
	Crop          string  `json:"crop"` // as cardInput.CropMode
	CropPct       float64 `json:"crop_pct"`
	AsIs          bool    `json:"same_size_as_is"`
	Interpolation string  `json:"interpolation"`
}

// fittingText is the inverse of readFitting.
func (in *Input) fittingText() (string, error) {
	e := exportedFitting{"center", in.Fitting.CropPct, in.Fitting.AsIs, in.Fitting.Interpolation.String()}
	if in.Fitting.Crop == data.CropSquash {
		e.Crop = "squash"
	}
	if in.fault != nil { // kept as it was read, to be refused where images are read
		e.Crop, e.CropPct, e.Interpolation = in.described.CropMode, in.described.CropPct, in.described.Interpolation
	}
	text, err := json.Marshal(e)
	return string(text), err
}

func (in *Input) readFitting(text string) error {
	var e exportedFitting
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return err
	}
	in.Fitting.AsIs = e.AsIs
	in.fit(&cardInput{CropPct: e.CropPct, CropMode: e.Crop, Interpolation: e.Interpolation})
	return nil
}

// fit sets the fitting of a description.
func (in *Input) fit(c *cardInput) {
	in.described = *c
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
		in.fault = &data.Error{Path: cardName, Problem: "asks for an unknown scaling of the images", Err: err, Hint: "choose one with --crop-pct or --resize"}
	}
}
