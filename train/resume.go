package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/plugins/host"
	"github.com/vittool/vittool/runs"
	"github.com/vittool/vittool/tensor"
)

// resumed is the run that an earlier process left in the folder.
type resumed struct {
	checkpoint *tensor.File         // newest valid one; nil where the run starts over
	status     string               // of run.json
	moved      []configs.Difference // options that may be other paths of the same files
}

// reopen locks the folder of a run and reads its newest valid checkpoint.
func (r *run) reopen() error {
	r.resumed = &resumed{}
	cfg, progress, c := r.setup.cfg, r.setup.progress, &r.recorder
	settings, err := runs.SettingsBeforeStart(cfg.Run.Out, configs.IsWhole)
	if err != nil {
		return err
	}
	if settings != "" { // the folder is made as that of a new run
		progress.Warning(fmt.Sprintf("the run in %s was stopped before its first step: it starts from the beginning", cfg.Run.Out))
		return r.resumed.checkSettings(cfg, settings)
	}
	if c.folder, err = runs.Open(cfg.Run.Out); err != nil {
		return outError(err)
	}
	if c.info, err = readInfo(c.folder.Dir, progress); err != nil {
		return err
	}
	r.resumed.status, c.info.Status = c.info.Status, "" // not this process's to change until it runs
	file, step, err := runs.Latest(c.folder.Dir, func(path string, err error) {
		progress.Warning(fmt.Sprintf("passed over a damaged checkpoint: %v", err))
	})
	if err != nil {
		return err
	}
	if file == nil { // killed before the first one, or removed: start over in the same folder
		progress.Warning(fmt.Sprintf("%s has no checkpoint, though run.json tells of step %d: the run starts from the beginning", c.folder.Dir, c.info.Step))
		return r.resumed.checkSettings(cfg, c.folder.Path(runs.ConfigFile))
	}
	r.resumed.checkpoint, r.state.step = file, step
	return r.resumed.checkSameRun(cfg, file.Path, []byte(file.Meta[runs.MetaConfig]))
}

// readInfo reads run.json. One that is missing or damaged is written anew.
func readInfo(dir string, progress Progress) (*runs.Info, error) {
	var damaged *json.SyntaxError
	info, err := runs.ReadInfo(dir)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		err = fmt.Errorf("%s has checkpoints and no %s", dir, runs.InfoFile)
	}
	if missing || errors.As(err, &damaged) {
		progress.Warning(fmt.Sprintf("%v; it is written anew", err))
		return runs.NewInfo(), nil
	}
	return info, err
}

// checkSettings refuses settings that are not those of the file of a run.
func (p *resumed) checkSettings(cfg *configs.Config, path string) error {
	settings, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("settings of the run: %w", err)
	}
	return p.checkSameRun(cfg, path, settings)
}

// checkSameRun refuses to go on with settings that would give another result. Options that may be
// another path of the same file wait for checkFiles.
func (p *resumed) checkSameRun(cfg *configs.Config, path string, settings []byte) error {
	old, err := configs.Parse(path, settings, cfg.Model.Families...)
	if err != nil {
		return fmt.Errorf("settings that the run was started with: %w", err)
	}
	var list configs.Errors
	for _, d := range cfg.ResumeDifferences(old) {
		if d.MaybeFile {
			p.moved = append(p.moved, d)
		} else {
			list = append(list, otherSetting(d))
		}
	}
	if len(list) > 0 {
		return list
	}
	return nil
}

func otherSetting(d configs.Difference) *configs.Error {
	return &configs.Error{Key: d.Key, Value: d.New, Problem: "the run to be resumed was started with " + d.Old,
		Hint: "leave the setting out, or start a new run with another --out"}
}

// checkFiles refuses options that differ from those of the resumed run and name no file that the
// plan reads, and files that are not those the run was started with.
func (p *resumed) checkFiles(s *setup) error {
	if p == nil {
		return nil
	}
	plan := s.objective.Plan()
	var list configs.Errors
	for _, d := range p.moved {
		if !slices.Contains(plan.Files(), d.New) {
			list = append(list, otherSetting(d))
		}
	}
	if len(list) > 0 {
		return list
	}
	if p.checkpoint == nil {
		return nil
	}
	if err := plan.CheckFiles(p.checkpoint.Meta[runs.MetaFiles]); err != nil {
		return &configs.Error{Key: configs.OptionsKey, Problem: err.Error(), Hint: "restore the file, or start a new run with another --out"}
	}
	return nil
}

// checkPlugin refuses a plugin with another plan than that of the run so far, and another program
// where the plan leaves loss or targets to the plugin, unless the user accepts it. Checkpoints of
// built-in objectives name no plan: vittool itself is their program.
func (p *resumed) checkPlugin(s *setup, accept bool) error {
	if p == nil || p.checkpoint == nil || p.checkpoint.Meta[runs.MetaPlan] == "" || accept {
		return nil
	}
	var stored runs.ObjectiveInfo
	if err := runs.Decode(p.checkpoint, runs.MetaObjective, &stored); err != nil {
		return err
	}
	fault := ""
	switch {
	case p.checkpoint.Meta[runs.MetaPlan] != s.objective.PlanDigest():
		fault = "its plan (views, parameters, loss) is not the one that the run was started with"
	case s.objective.Plan().Computes() && stored.SHA256 != s.objective.SHA256():
		fault = "it computes the loss or targets itself, and is not the program that the run was started with"
	default:
		return nil
	}
	return &host.PluginError{Plugin: s.cfg.Objective.Plugin, Kind: host.Changed, Text: fault + fmt.Sprintf(
		" (version %s, SHA-256 %.12s…); restore that program, start a new run with another --out, or go on with --accept-plugin-change",
		stored.Version, stored.SHA256)}
}

// restore takes the state from a checkpoint. Other images are an error; another plugin or kernel
// level is a warning.
func (r *run) restore(file *tensor.File) error {
	if err := r.state.load(file); err != nil {
		return err
	}
	s := &r.setup
	var stored runs.DataInfo
	if err := runs.Decode(file, runs.MetaData, &stored); err != nil {
		return err
	}
	if now := s.source.Fingerprint(); stored.Fingerprint != now {
		return otherImages(s.cfg.Data.Path, s.source.Len(), stored.Images)
	}
	var objective runs.ObjectiveInfo
	if err := runs.Decode(file, runs.MetaObjective, &objective); err != nil {
		return err
	}
	if sum := s.objective.SHA256(); objective.SHA256 != sum {
		s.progress.Warning(fmt.Sprintf("the plugin %s is not the program the run was started with (SHA-256 %.12s…, then %.12s…); the rest of the run may differ",
			objective.Name, sum, objective.SHA256))
	}
	if level := file.Meta[runs.MetaKernels]; level != s.device.Level() {
		s.progress.Warning(fmt.Sprintf("the run was computed with %s kernels so far and goes on with %s; bits will differ from an undisturbed run", level, s.device.Level()))
	}
	if info := r.recorder.info; info.EpochOf != runs.EpochOfImages && s.epochs.rounded() {
		s.progress.Warning(fmt.Sprintf("the run was begun by an older version, which counted an epoch as %d whole steps; schedules and intervals now follow the images read, %.4g steps an epoch, so the rest of the run differs: finish it with that version to keep its schedule",
			s.epochs.batches/s.epochs.accumulate, s.epochs.perEpoch()))
	}
	r.recorder.newest = runs.Checkpoint{Path: file.Path, Step: r.state.step}
	r.recorder.digest = tensor.Digest(file.Tensors)
	return nil
}

// otherImages refuses to go on with images that would give another result. Also a file that was
// repaired is another one: it would no longer be skipped.
func otherImages(path string, now, then int) error {
	difference := fmt.Sprintf("%d now, %d then", now, then)
	if now == then {
		difference = fmt.Sprintf("%d as then, but the name, size or class of some file differs: it was replaced, repaired, renamed or moved", now)
	}
	return &data.Error{Path: path, Problem: "the images are not those the run was started with (" + difference + ")",
		Hint: "bring back the files as they were (with a larger data.max_failed, those that can't be read are skipped), or start a new run with another --out"}
}
