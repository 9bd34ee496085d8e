package tasks

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// ExportFormat is the metadata "format" of exported files, the value that readers of the Hugging
// Face ecosystem expect. vittool recognizes its own files by "model".
const ExportFormat = "pt"

// Metadata of exported files alone: the fitting of the images, and a mark of a mean and a deviation
// that nobody stated.
const (
	metaFitting = "fitting"
	metaAssumed = "normalization_assumed"
)

// Export writes the backbone alone to a safetensors file, in timm's names and order, so that
//
//	timm.create_model(name, num_classes=0).load_state_dict(safetensors.torch.load_file(path))
//
// accepts it. The metadata holds the configuration, the normalization, the step and the digest of
// the source file.
func (m *Model) Export(path string) error {
	config, err := backbone.Encode(m.Config)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	meta := map[string]string{
		runs.MetaFormat: ExportFormat, "architecture": m.Info.Name, "producer": "vittool",
		runs.MetaModel: string(config),
	}
	values := map[string]any{runs.MetaMean: m.Mean, runs.MetaStd: m.Std}
	if m.Input.Assumed {
		meta[metaAssumed] = "true"
	}
	if meta[metaFitting], err = m.Input.fittingText(); err != nil {
		return fmt.Errorf("export: fitting: %w", err)
	}
	if m.Step >= 0 {
		meta[runs.MetaStep] = strconv.Itoa(m.Step)
	}
	if m.Pool != "" { // an exported file has one network
		values[runs.MetaFeatures] = runs.Features{Network: runs.Student, Pool: string(m.Pool), LinearBlocks: m.LinearBlocks}
	}
	if err := describeIn(meta, values); err != nil {
		return err
	}
	if m.Digest != "" {
		meta["source_digest"] = m.Digest
	}
	// Objective and data of the run, unchanged.
	for _, key := range []string{runs.MetaObjective, runs.MetaData} {
		if v := m.Meta[key]; v != "" {
			meta[key] = v
		}
	}
	if err := tensor.WriteSafetensors(path, m.Store.Tensors(), meta); err != nil {
		return fmt.Errorf("export to %s: %w", path, err)
	}
	return nil
}

// describeIn sets metadata of an exported file to the JSON of values.
func describeIn(meta map[string]string, values map[string]any) error {
	for key, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("export: %s: %w", key, err)
		}
		meta[key] = string(text)
	}
	return nil
}
