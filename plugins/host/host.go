// Package host runs objectives for the training loop: it finds the program, checks its checksum,
// starts it, calls it under deadlines, starts it again when it dies, and validates every answer.
//
// An objective is a pure function of its requests (see plugins/objective.proto), so a call whose
// process died is repeated on a fresh process and gives the same bits. The package keeps these
// rules:
//
//   - A call is retried only when the process died, the connection broke or the deadline
//     passed, at most three times; then the error carries the plugin's last lines on
//     standard error. An error that the plugin returns is never retried.
//   - After a restart the plan must be the same, byte for byte.
//   - Every answer is validated: an error names plugin, call and field.
//   - However the host ends, SIGKILL included, no plugin process, socket or temporary file stays
//     behind.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/objectives"
	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/schema"
	"github.com/vittool/vittool/plugins/sdk"
)

// Mode is the place where an objective runs.
type Mode string

// Process is the normal mode; Inproc calls a built-in objective inside the host.
const (
	Process Mode = "process"
	Inproc  Mode = "inproc"
)

// Options of Open. Name or Path is required; zero values of the others are usable.
type Options struct {
	Name string   // a built-in objective
	Path string   // a third-party plugin's program, instead of Name
	Args []string // of the program at Path
	Env  []string // KEY=value, added to the minimal environment
	Mode Mode     // Process unless set; a plugin at Path has no other

	Config map[string]any // options of the objective, see schema.Complete
	Run

	LogWriter io.Writer // gets the plugin's standard error, line by line with a prefix

	Checksum string // SHA-256 that the program at Path must have; "" takes it from Lock
	Lock     string // path of a lock file; "" for none

	StartDeadline time.Duration // until the handshake, 1 minute unless set
	CallDeadline  time.Duration // of each call, 2 minutes unless set
	MemoryLimit   uint64        // bytes of data that the plugin may use (Linux), 0: no limit

	// Builtin looks up Name; objectives.New unless set (tests).
	Builtin func(name string) (sdk.Objective, error)
}

// Run describes the run that an objective is opened for, see OpenRequest.
type Run struct {
	Seed          uint64
	Batch         int // samples of a micro-batch
	TotalSteps    int
	StepsPerEpoch float64 // mean; not whole where an epoch ends within a step
	DatasetSize   int     // samples
	Backbone      plan.BackboneInfo
	WorldSize     int // 0 is 1
	Rank          int
	FixedViews    bool
}

// Objective is an opened objective. Its methods may be called from several goroutines.
type Objective struct {
	o          Options
	label      string // in messages
	command    command
	sum        string // of the program
	open       *pb.OpenRequest
	desc       *Description
	plan       *plan.Plan
	planWire   []byte // as the plugin sent it
	planDigest string
	log        *lineLog
	segments   []*segment // constant, writable
	binding    *Binding   // nil before Bind

	mu       sync.Mutex // guards the process
	proc     *process   // nil while there is none
	restarts int
	closed   bool
}

// Open starts the objective and gets its plan. Errors: a *schema.Error for a wrong option, errors
// of Options.Builtin for an unknown name, else a *PluginError.
func Open(ctx context.Context, o Options) (*Objective, error) {
	h, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := h.begin(ctx); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Describe starts an objective only to read its description. Config and Run of the options are not
// used.
func Describe(ctx context.Context, o Options) (*Description, error) {
	h, err := prepare(o)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	p, err := h.spawn(ctx)
	if err != nil {
		return nil, err
	}
	h.proc = p
	return h.describe(ctx, p)
}

func prepare(o Options) (*Objective, error) {
	if (o.Name == "") == (o.Path == "") {
		return nil, errors.New("host: give the name of a built-in objective or the path of a plugin, one of the two")
	}
	if o.Mode == "" {
		o.Mode = Process
	}
	if o.Mode != Process && o.Mode != Inproc {
		return nil, fmt.Errorf("host: unknown mode %q, valid are process and inproc", o.Mode)
	}
	if o.Mode == Inproc && o.Path != "" {
		return nil, fmt.Errorf("plugin %s: only built-in objectives can run in the host's own process; leave objective.mode at process", o.Path)
	}
	if o.StartDeadline == 0 {
		o.StartDeadline = time.Minute
	}
	if o.CallDeadline == 0 {
		o.CallDeadline = 2 * time.Minute
	}
	if o.WorldSize == 0 {
		o.WorldSize = 1
	}
	if o.Builtin == nil {
		o.Builtin = objectives.New
	}
	h := &Objective{o: o, label: o.Name + o.Path}
	h.log = &lineLog{to: o.LogWriter, prefix: "[" + filepath.Base(h.label) + "] "}
	if o.Name != "" {
		if _, err := o.Builtin(o.Name); err != nil {
			return nil, err
		}
	}
	if o.Mode == Inproc {
		for _, name := range []string{segmentConstant, segmentWritable} {
			h.segments = append(h.segments, &segment{name: name})
		}
		var err error
		h.sum, err = selfSum() // the same program as in a process of its own
		return h, err
	}
	if o.Name != "" {
		self, err := selfPath()
		if err != nil {
			return nil, fmt.Errorf("host: cannot find this program to start %s: %w", o.Name, err)
		}
		h.command = command{path: self, args: append(append([]string{}, ServeArgs...), o.Name), env: o.Env}
	} else {
		path, err := filepath.Abs(o.Path)
		if err != nil {
			return nil, err
		}
		h.command = command{path: path, args: o.Args, env: o.Env}
	}
	return h, h.lockSum()
}

// selfSum is the checksum of this program, read once.
var selfSum = sync.OnceValues(func() (string, error) {
	self, err := selfPath()
	if err != nil {
		return "", fmt.Errorf("host: cannot find this program: %w", err)
	}
	return Sum(self)
})

// ServeArgs are the arguments that make this program serve a built-in objective, whose name
// follows: `vittool plugin serve NAME`.
var ServeArgs = []string{"plugin", "serve"}

// ServeBuiltin serves a built-in objective as a plugin, for `plugin serve NAME`. It returns only
// when the name is unknown.
func ServeBuiltin(name string) error {
	o, err := objectives.New(name)
	if err != nil {
		return err
	}
	sdk.Serve(o)
	return nil
}

// lockSum determines the checksum that the program must have from now on.
func (h *Objective) lockSum() error {
	want := h.o.Checksum
	if want == "" && h.o.Lock != "" && h.o.Path != "" {
		var err error
		if want, err = lockedSum(h.o.Lock, h.o.Path); err != nil {
			return err
		}
	}
	h.sum = want
	return h.verify()
}

// verify compares the program with the checksum, or records the checksum at the first call.
func (h *Objective) verify() error {
	got, err := Sum(h.command.path)
	if err != nil {
		return &PluginError{Plugin: h.label, Kind: Start, Text: explainStart(err, h.command.path, nil), Err: err}
	}
	if h.sum == "" {
		h.sum = got
	}
	if got != h.sum {
		return &PluginError{Plugin: h.label, Kind: Checksum, Text: fmt.Sprintf(
			"the file is not the one that was locked: its SHA-256 is %s, expected %s; if you changed it on purpose, lock it again", got, h.sum)}
	}
	return nil
}

// begin starts the process and gets description and plan.
func (h *Objective) begin(ctx context.Context) error {
	p, err := h.spawn(ctx)
	if err != nil {
		return err
	}
	h.proc = p
	if h.desc, err = h.describe(ctx, p); err != nil {
		return err
	}
	if h.o.Name != "" && h.desc.Name != h.o.Name {
		return h.broken("Describe", fmt.Sprintf("it calls itself %q", h.desc.Name))
	}
	config, err := schema.Complete(h.desc.Options, h.o.Config)
	if err != nil {
		return fmt.Errorf("objective %s: %w", h.desc.Name, err)
	}
	h.open = &pb.OpenRequest{
		ConfigJson: config, Seed: h.o.Seed, Batch: uint32(h.o.Batch), TotalSteps: uint64(h.o.TotalSteps),
		StepsPerEpoch: max(1, uint64(math.Round(h.o.StepsPerEpoch))), EpochSteps: h.o.StepsPerEpoch, DatasetSize: uint64(h.o.DatasetSize), Backbone: backboneMessage(h.o.Backbone),
		WorldSize: uint32(h.o.WorldSize), Rank: uint32(h.o.Rank), ProtocolMinor: sdk.ProtocolMinor,
		FixedViews: h.o.FixedViews,
	}
	message, err := h.openPlan(ctx, p)
	if err != nil {
		return err
	}
	if h.plan, err = plan.FromProto(message, h.o.Backbone); err != nil {
		return h.unusable(err)
	}
	if h.planWire, err = wire(message); err != nil {
		return err
	}
	h.planDigest, err = planDigest(message)
	return err
}

// unusable is the error of a plan with a fault. A plan for other networks than the run's is no fault
// of the plugin.
func (h *Objective) unusable(err error) error {
	if lack := (*plan.LackError)(nil); errors.As(err, &lack) {
		return &PluginError{Plugin: h.label, Call: "Open", Kind: Refused, Text: err.Error(), Err: err}
	}
	return h.broken("Open", err.Error())
}

// spawn starts the program, or serves it in process; ctx bounds the start alone.
func (h *Objective) spawn(ctx context.Context) (*process, error) {
	if h.o.Mode == Inproc {
		o, err := h.o.Builtin(h.o.Name)
		if err != nil {
			return nil, err
		}
		p, err := newLocal(o, func(name string) []byte {
			for _, s := range h.segments {
				if s.name == name {
					return s.mem
				}
			}
			return nil
		})
		if err != nil {
			return nil, &PluginError{Plugin: h.label, Kind: Start, Text: err.Error(), Err: err}
		}
		p.log = h.log
		return p, nil
	}
	if h.segments == nil {
		for _, s := range []struct {
			name     string
			readOnly bool
		}{{segmentConstant, true}, {segmentWritable, false}} {
			seg, err := newSegment(s.name, s.readOnly)
			if err != nil {
				return nil, err
			}
			h.segments = append(h.segments, seg)
		}
	}
	if err := h.verify(); err != nil {
		return nil, err
	}
	return spawn(ctx, h.command, h.label, h.o.StartDeadline, h.o.MemoryLimit, h.segments, h.log)
}

func (h *Objective) describe(ctx context.Context, p *process) (*Description, error) {
	ctx, cancel := context.WithTimeout(ctx, h.o.CallDeadline)
	defer cancel()
	d, err := p.client.Describe(ctx, &pb.DescribeRequest{ProtocolMinor: sdk.ProtocolMinor})
	if err != nil {
		return nil, h.classify(ctx, p, "Describe", err)
	}
	description, err := describe(d)
	if err != nil {
		return nil, h.broken("Describe", err.Error())
	}
	if d.ProtocolMinor > sdk.ProtocolMinor {
		return nil, h.broken("Describe", fmt.Sprintf("it needs version 1.%d of the objective protocol and this vittool has 1.%d; use a newer vittool", d.ProtocolMinor, sdk.ProtocolMinor))
	}
	return description, nil
}

func (h *Objective) openPlan(ctx context.Context, p *process) (*pb.Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, h.o.CallDeadline)
	defer cancel()
	plan, err := p.client.Open(ctx, h.open)
	if err != nil {
		return nil, h.classify(ctx, p, "Open", err)
	}
	return plan, nil
}

func backboneMessage(b plan.BackboneInfo) *pb.BackboneInfo {
	m := &pb.BackboneInfo{
		Name: b.Name, Family: b.Family, Dim: uint32(b.Dim), Depth: uint32(b.Depth), Heads: uint32(b.Heads), Patch: uint32(b.Patch),
		ImageH: uint32(b.ImageH), ImageW: uint32(b.ImageW), GridH: uint32(b.GridH), GridW: uint32(b.GridW), Channels: uint32(b.Channels),
		Mean: b.Mean, Std: b.Std, PrefixTokens: uint32(b.PrefixTokens), LayerNormEps: b.LayerNormEps,
	}
	for _, d := range b.StageDims {
		m.StageDims = append(m.StageDims, uint32(d))
	}
	return m
}

// wire is the deterministic encoding by which plans are compared.
func wire(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Plan is the checked plan of the objective. It must not be changed.
func (h *Objective) Plan() *plan.Plan { return h.plan }

// PlanDigest is the SHA-256 of the plan in hexadecimal digits, without the places of the files that
// it reads: their digests are part of it.
func (h *Objective) PlanDigest() string { return h.planDigest }

// PlanDifference names the first field in which the plans of two objectives differ, "" when they
// are equal.
func (h *Objective) PlanDifference(other *Objective) string {
	if bytes.Equal(h.planWire, other.planWire) {
		return ""
	}
	p := &pb.Plan{}
	if err := proto.Unmarshal(other.planWire, p); err != nil {
		return err.Error()
	}
	return planDifference(h.planWire, p)
}

// Description is the objective's checked description of itself. It must not be changed.
func (h *Objective) Description() *Description { return h.desc }

// ConfigJSON is the complete configuration that the objective was opened with.
func (h *Objective) ConfigJSON() []byte { return bytes.Clone(h.open.ConfigJson) }

// Mode is where the objective runs.
func (h *Objective) Mode() Mode { return h.o.Mode }

// SHA256 is the checksum of the program in hexadecimal digits; "" in process.
func (h *Objective) SHA256() string { return h.sum }

// Restarts counts how often the process was started again.
func (h *Objective) Restarts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.restarts
}

// PID is the number of the plugin's process, 0 when there is none.
func (h *Objective) PID() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc == nil || h.proc.runner == nil {
		return 0
	}
	return h.proc.runner.cmd.Process.Pid
}

// Close ends the process and frees the shared memory; slices of a Binding must not be used after
// it. It may be called more than once.
func (h *Objective) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	ended := true
	if h.proc != nil {
		ended = h.proc.stop()
		h.proc = nil
	}
	if !ended { // an objective that hangs in our process still holds the memory
		return nil
	}
	for _, s := range h.segments {
		if s.file != nil {
			s.close()
		}
	}
	return nil
}
