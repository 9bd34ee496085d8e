package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vittool/vittool/cmd/vittool/ui"
	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/internal/edit"
	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/host"
)

func newPluginCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "plugin",
		Short: "List, describe and pin objectives",
		Example: `  vittool plugin list
  vittool plugin info mae
  vittool plugin lock ./simmim`,
	},
		newPluginListCommand(),
		newPluginInfoCommand(),
		newPluginCheckCommand(),
		newPluginLockCommand(),
		newPluginVerifyCommand(),
		newPluginServeCommand(),
	)
}

// builtin reports whether an argument names a built-in objective; otherwise it is the path of a
// program.
func builtin(arg string) (bool, error) {
	names := objectives.Names()
	if slices.Contains(names, arg) {
		return true, nil
	}
	if strings.ContainsRune(arg, filepath.Separator) || strings.Contains(arg, ".") {
		return false, nil
	}
	if _, err := os.Stat(arg); err == nil {
		return false, nil
	}
	return false, &usageError{fmt.Sprintf("there is no objective %s, and no program of that name", arg), edit.Suggest(arg, names)}
}

// programOf names the program of an objective.
func programOf(arg string) (o host.Options, ours bool, err error) {
	if ours, err = builtin(arg); ours {
		return host.Options{Name: arg}, true, nil
	}
	return host.Options{Path: arg, Lock: host.LockFile}, false, err
}

// describe asks an objective for its description; a built-in one is asked in this process.
func describe(ctx context.Context, arg string) (d *host.Description, ours bool, err error) {
	o, ours, err := programOf(arg)
	if err != nil {
		return nil, false, err
	}
	if ours {
		o.Mode = host.Inproc
	}
	d, err = host.Describe(ctx, o)
	return d, ours, err
}

// objectiveInfo is an objective in the output of --json.
type objectiveInfo struct {
	Name    string       `json:"name"`
	Version string       `json:"version"`
	Summary string       `json:"summary"`
	Paper   string       `json:"paper,omitempty"`
	License string       `json:"license,omitempty"`
	Builtin bool         `json:"builtin"`
	Path    string       `json:"path,omitempty"`
	State   string       `json:"state,omitempty"` // of a pinned file: ok, changed or missing
	SHA256  string       `json:"sha256,omitempty"`
	Options []optionInfo `json:"options"`
}

type optionInfo struct {
	Key     string `json:"key"`
	Type    string `json:"type"`
	Default string `json:"default"` // as JSON
	Valid   string `json:"valid,omitempty"`
	Help    string `json:"help"`
}

func infoOf(d *host.Description) objectiveInfo {
	i := objectiveInfo{Name: d.Name, Version: d.Version, Summary: d.Summary, Paper: d.Paper, License: d.License, Options: []optionInfo{}}
	for _, o := range d.Options {
		i.Options = append(i.Options, optionInfo{o.Key, o.Type.String(), o.Default, o.Range(), o.Help})
	}
	return i
}

func newPluginListCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the objectives that are built in or pinned in this folder",
		Example: `  vittool plugin list
  vittool plugin list --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPluginList(cmd.Context(), cmd.OutOrStdout(), asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func runPluginList(ctx context.Context, w io.Writer, asJSON bool) error {
	var list []objectiveInfo
	for _, name := range objectives.Names() {
		d, _, err := describe(ctx, name)
		if err != nil {
			return err
		}
		i := infoOf(d)
		i.Builtin = true
		list = append(list, i)
	}
	locked, err := host.ReadLock(host.LockFile)
	if err != nil {
		return err
	}
	for _, l := range locked { // listed without being run
		list = append(list, objectiveInfo{Name: l.Name, Version: l.Version, Path: l.Path, State: pinned(l), SHA256: l.SHA256, Options: []optionInfo{}})
	}
	if asJSON {
		return ui.JSON(w, list)
	}
	t := ui.NewTable("NAME", "VERSION", "FROM", "SUMMARY")
	for _, i := range list {
		from := "built in"
		if !i.Builtin {
			from = i.Path
			i.Summary = map[string]string{
				pinnedOK:      "pinned",
				pinnedChanged: "not the file that was pinned: see `vittool plugin verify`",
				pinnedMissing: "the pinned file can't be read: see `vittool plugin verify`",
			}[i.State]
		}
		t.Row(i.Name, i.Version, from, i.Summary)
	}
	return t.Write(w)
}

// States of a pinned file.
const (
	pinnedOK      = "ok"
	pinnedChanged = "changed"
	pinnedMissing = "missing" // or unreadable
)

func pinned(l host.Locked) string {
	switch sum, err := host.Sum(l.Path); {
	case err != nil:
		return pinnedMissing
	case sum != l.SHA256:
		return pinnedChanged
	}
	return pinnedOK
}

func newPluginInfoCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "info NAME|PATH",
		Short: "Describe an objective and its options",
		Example: `  vittool plugin info mae
  vittool plugin info ./simmim --json`,
		Args: oneArg("an objective's name or a plugin's path"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPluginInfo(cmd.Context(), cmd.OutOrStdout(), args[0], asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func runPluginInfo(ctx context.Context, w io.Writer, arg string, asJSON bool) error {
	d, ours, err := describe(ctx, arg)
	if err != nil {
		return err
	}
	i := infoOf(d)
	i.Builtin = ours
	if !i.Builtin {
		i.Path = arg
		if i.SHA256, err = host.Sum(arg); err != nil {
			return err
		}
	}
	if asJSON {
		return ui.JSON(w, i)
	}
	t := ui.NewTable()
	t.Row("name", i.Name)
	t.Row("version", i.Version)
	t.Row("summary", i.Summary)
	t.Row("paper", i.Paper)
	t.Row("license", i.License)
	if !i.Builtin {
		t.Row("program", i.Path)
		t.Row("sha256", i.SHA256)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	if len(i.Options) == 0 {
		return nil
	}
	options := ui.NewTable("OPTION", "TYPE", "DEFAULT", "VALID", "MEANING")
	for _, o := range i.Options {
		options.Row(configs.OptionsKey+"."+o.Key, o.Type, o.Default, o.Valid, o.Help)
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return options.Write(w)
}

func newPluginLockCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "lock PATH ...",
		Short: "Pin plugins by their SHA-256 in " + host.LockFile,
		Long: `Start each plugin once, and write its name, version and SHA-256 to
` + host.LockFile + ` in this folder. From then on a changed file is refused before it is
started. A plugin is a program that runs with your rights: lock only those that you trust.`,
		Example: `  vittool plugin lock ./simmim`,
		Args:    someArgs("a plugin's path"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPluginLock(cmd.Context(), cmd.OutOrStdout(), args, asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func runPluginLock(ctx context.Context, w io.Writer, paths []string, asJSON bool) error {
	t := ui.NewTable()
	added := []host.Locked{}
	locked, err := host.ReadLock(host.LockFile)
	if err != nil {
		return err
	}
	for _, path := range paths {
		ours, err := builtin(path)
		if err != nil {
			return err
		}
		if ours {
			return &usageError{path + " is built in: there is no file to pin", ""}
		}
		// The sum is taken first, so that the pinned file is the file that is started.
		sum, err := host.Sum(path)
		if err != nil {
			return &host.PluginError{Plugin: path, Kind: host.Start, Text: err.Error(), Err: err}
		}
		d, err := host.Describe(ctx, host.Options{Path: path, Checksum: sum})
		if err != nil {
			return err
		}
		l := host.Locked{Path: path, Name: d.Name, Version: d.Version, SHA256: sum}
		locked = append(slices.DeleteFunc(locked, func(l host.Locked) bool { return l.Path == path }), l)
		added = append(added, l)
		t.Row(path, d.Name, d.Version, "sha256 "+sum)
	}
	if err := host.WriteLock(host.LockFile, locked); err != nil {
		return err
	}
	if asJSON {
		return ui.JSON(w, added)
	}
	return t.Write(w)
}

func newPluginVerifyCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare pinned plugins with " + host.LockFile,
		Example: `  vittool plugin verify
  vittool plugin verify --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPluginVerify(cmd.OutOrStdout(), asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func runPluginVerify(w io.Writer, asJSON bool) error {
	locked, err := host.ReadLock(host.LockFile)
	if err != nil {
		return err
	}
	checks := []check{}
	var wrong []string
	for _, l := range locked {
		c := check{Name: l.Path, State: stateOK, Found: l.Name + " " + l.Version}
		got, err := host.Sum(l.Path)
		switch {
		case err != nil:
			c.State, c.Found = stateFail, "it can't be read: "+err.Error()
			c.Advice = "bring it back, or take its entry out of " + host.LockFile
		case got != l.SHA256:
			c.State, c.Found = stateFail, fmt.Sprintf("its SHA-256 is %s, not %s", got, l.SHA256)
			c.Advice = "if you changed it on purpose, lock it again"
		}
		if c.State == stateFail {
			wrong = append(wrong, l.Path)
		}
		checks = append(checks, c)
	}
	switch {
	case asJSON:
		err = ui.JSON(w, checks)
	case len(locked) == 0:
		_, err = fmt.Fprintf(w, "no plugin is pinned: there is no %s in this folder\n", host.LockFile)
	default:
		err = writeChecks(w, checks)
	}
	if err != nil || len(wrong) == 0 {
		return err
	}
	return &host.PluginError{Plugin: strings.Join(wrong, ", "), Kind: host.Checksum,
		Text: fmt.Sprintf("%d of %d pinned files are not the ones that were locked", len(wrong), len(locked))}
}

// newPluginServeCommand is how vittool starts a built-in objective in a process of its own; nobody
// calls it by hand.
func newPluginServeCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "serve NAME",
		Hidden: true,
		Args:   oneArg("an objective's name"),
		RunE: func(_ *cobra.Command, args []string) error {
			return host.ServeBuiltin(args[0])
		},
	}
}

// checkPlugin starts the first built-in objective in a process of its own, as every run does, and
// takes the time.
func checkPlugin(ctx context.Context) check {
	c := check{Name: "plugin", State: stateOK}
	name := objectives.Names()[0]
	start := time.Now()
	if _, err := host.Describe(ctx, host.Options{Name: name, Mode: host.Process}); err != nil {
		c.State, c.Found = stateFail, err.Error()
		c.Advice = "train with --plugin-mode inproc, which gives the same bits"
		return c
	}
	took := time.Since(start)
	c.Found = fmt.Sprintf("%s started, asked and stopped in %d ms", name, took.Milliseconds())
	if took > 5*time.Second {
		c.State, c.Advice = stateWarn, "starting a process is slow here: look at virus scanners and network drives"
	}
	return c
}
