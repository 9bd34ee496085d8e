package host

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/sdk"
)

// retries is the number of attempts on fresh processes before the run stops.
const retries = 3

// call runs f on a living process, with the call deadline, and repeats it on a fresh one when the
// process failed. f gets the number of the attempt.
func (h *Objective) call(ctx context.Context, name string, f func(context.Context, pb.ObjectiveClient, uint32) error) error {
	for attempt := uint32(0); ; attempt++ {
		err := h.attempt(ctx, name, attempt, f)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil { // the caller gave up: no fault of the plugin
			return ctx.Err()
		}
		pe, ok := err.(*PluginError)
		if !ok || !pe.retry {
			return err
		}
		if attempt == retries {
			pe.Text += fmt.Sprintf(", also in %d retries", retries)
			return pe
		}
		h.log.say(fmt.Sprintf("%s: %s; starting it again (retry %d of %d)", name, pe.Text, attempt+1, retries))
		select { // the cause may pass in a moment
		case <-time.After(time.Duration(attempt) * 100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *Objective) attempt(ctx context.Context, name string, attempt uint32, f func(context.Context, pb.ObjectiveClient, uint32) error) error {
	p, err := h.running(ctx)
	if err != nil {
		return err
	}
	callCtx, cancel := context.WithTimeout(ctx, h.o.CallDeadline)
	defer cancel()
	if err = f(callCtx, p.client, attempt); err == nil {
		return nil
	}
	if _, ok := err.(*PluginError); ok {
		return err
	}
	err = h.classify(callCtx, p, name, err)
	if pe, ok := err.(*PluginError); ok && pe.retry && ctx.Err() == nil {
		h.retire(p)
	}
	return err
}

// running returns the process, started again when there is none.
func (h *Objective) running(ctx context.Context) (*process, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, fmt.Errorf("host: objective %s is closed", h.label)
	}
	if h.proc != nil {
		return h.proc, nil
	}
	p, err := h.spawn(ctx)
	if err != nil {
		if pe, ok := err.(*PluginError); ok && pe.Kind == Start {
			pe.retry = true
		}
		return nil, err
	}
	if err := h.resume(ctx, p); err != nil {
		p.kill()
		return nil, err
	}
	h.proc = p
	h.restarts++
	return p, nil
}

// resume brings a fresh process to where the dead one was, and refuses one that differs.
func (h *Objective) resume(ctx context.Context, p *process) error {
	d, err := h.describe(ctx, p)
	if err != nil {
		return err
	}
	if d.Name != h.desc.Name || d.Version != h.desc.Version {
		return &PluginError{Plugin: h.label, Kind: Changed, Text: fmt.Sprintf("after a restart it is %s %s instead of %s %s", d.Name, d.Version, h.desc.Name, h.desc.Version)}
	}
	plan, err := h.openPlan(ctx, p)
	if err != nil {
		return err
	}
	w, err := wire(plan)
	if err != nil {
		return err
	}
	if !bytes.Equal(w, h.planWire) {
		return &PluginError{Plugin: h.label, Call: "Open", Kind: Changed, Text: "after a restart its plan differs from the first one: " + planDifference(h.planWire, plan) + "; a plan must follow from the options and the run alone"}
	}
	if h.binding == nil {
		return nil
	}
	bindCtx, cancel := context.WithTimeout(ctx, h.o.CallDeadline)
	defer cancel()
	if _, err := p.client.Bind(bindCtx, h.binding.request); err != nil {
		return h.classify(bindCtx, p, "Bind", err)
	}
	return nil
}

// retire kills p unless another call has done so already.
func (h *Objective) retire(p *process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc != p {
		return
	}
	if p.plugin == nil { // in process there is nothing to kill
		return
	}
	p.kill()
	h.proc = nil
}

// RefusePlan makes a PluginError of the reason why a run can't follow the plan.
func (h *Objective) RefusePlan(err error) error {
	return &PluginError{Plugin: h.label, Call: "Open", Kind: Reply, Text: err.Error(), Err: err}
}

func (h *Objective) broken(call, text string) error {
	return &PluginError{Plugin: h.label, Call: call, Kind: Reply, Text: text}
}

// classify makes a PluginError of the error of a call, or the context's error where the caller gave
// up. ctx is that of the call.
func (h *Objective) classify(ctx context.Context, p *process, name string, err error) error {
	if ctx.Err() == context.Canceled {
		return ctx.Err()
	}
	e := &PluginError{Plugin: h.label, Call: name, Err: err}
	s, _ := status.FromError(err)
	// The plugin's side of the connection watches the deadline too and may cancel first.
	deadline := ctx.Err() == context.DeadlineExceeded || s.Code() == codes.DeadlineExceeded
	dead := false
	if p.runner != nil && !deadline {
		// The connection breaks a moment before the process is reaped.
		grace := time.Duration(0)
		if c := s.Code(); c == codes.Unavailable || c == codes.Canceled {
			grace = time.Second
		}
		dead = p.runner.exited(grace)
	}
	switch {
	case deadline:
		e.Kind, e.retry = Hang, p.runner != nil
		e.Text = fmt.Sprintf("no answer within %v; raise objective.deadline if it needs longer", h.o.CallDeadline)
		e.Stderr = h.log.last()
	case dead:
		e.Kind, e.retry = Crash, true
		e.Text = fmt.Sprintf("its process ended (%s) during the call", p.runner.state())
		time.Sleep(20 * time.Millisecond) // let the last lines on standard error arrive
		e.Stderr = h.log.last()
	case s.Code() == codes.Unavailable, s.Code() == codes.Canceled:
		e.Kind, e.retry = Crash, true
		e.Text = "the connection to it broke: " + s.Message()
		e.Stderr = h.log.last()
	case s.Code() == codes.ResourceExhausted && strings.Contains(s.Message(), "larger than max"):
		e.Kind = Reply
		e.Text = fmt.Sprintf("its answer is larger than %d MiB (%s); tensors belong into shared memory", sdk.MaxMessage>>20, s.Message())
	case s.Code() == codes.Unimplemented:
		e.Kind = Reply
		e.Text = "it does not implement this call, though its plan needs it: " + s.Message()
	case s.Code() == codes.Internal: // a panic, its stack on standard error
		e.Kind = Returned
		e.Text = "it returned an error: " + s.Message()
		h.log.settle()
		e.Stderr = h.log.last()
	case name == "Open":
		e.Kind = Refused
		e.Text = s.Message()
	default:
		e.Kind = Returned
		e.Text = "it returned an error: " + s.Message()
	}
	return e
}
