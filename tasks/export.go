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
	mean, err := json.Marshal(m.Mean)
	if err != nil {
		return fmt.Errorf("export: mean: %w", err)
	}
	std, err := json.Marshal(m.Std)
	if err != nil {
		return fmt.Errorf("export: std: %w", err)
	}
	meta := map[string]string{
		runs.MetaFormat: ExportFormat, "architecture": m.Info.Name, "producer": "vittool",
		runs.MetaModel: string(config), runs.MetaMean: string(mean), runs.MetaStd: string(std),
	}
	if m.Step >= 0 {
		meta[runs.MetaStep] = strconv.Itoa(m.Step)
	}
	if m.Pool != "" { // an exported file has one network
		features, err := json.Marshal(runs.Features{Network: runs.Student, Pool: string(m.Pool), LinearBlocks: m.LinearBlocks})
		if err != nil {
			return fmt.Errorf("export: features: %w", err)
		}
		meta[runs.MetaFeatures] = string(features)
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
