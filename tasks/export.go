package tasks

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// ExportFormat marks files that Export wrote. It is the value that readers of
// the Hugging Face ecosystem look for in "format"; ours go by "model".
const ExportFormat = "pt"

// Export writes the backbone alone to a safetensors file, in timm's names and
// order, so that
//
//	timm.create_model(name, num_classes=0).load_state_dict(safetensors.torch.load_file(path))
//
// takes it as it is. The metadata carries the configuration, the normalisation,
// the step and the digest of the file it comes from.
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
	if m.Pool != "" { // the file has one network, whichever it was
		features, err := json.Marshal(runs.Features{Network: runs.Student, Pool: string(m.Pool), LinearBlocks: m.LinearBlocks})
		if err != nil {
			return fmt.Errorf("export: features: %w", err)
		}
		meta[runs.MetaFeatures] = string(features)
	}
	if m.Digest != "" {
		meta["source_digest"] = m.Digest
	}
	// What the run was trained by, kept as the run wrote it.
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
