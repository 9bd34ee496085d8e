package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"sort"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/plan"
	"github.com/vittool/vittool/plugins/schema"
)

// ProtocolMinor is the minor version of protocol 1 that this package speaks: 1 since Evaluate is told
// the shapes of its inputs in each call.
const ProtocolMinor = 1

// Server implements the protocol around an Objective. Serve runs one in a plugin process; the host
// runs one directly when it is asked to keep the objective in its own process.
type Server struct {
	pb.UnimplementedObjectiveServer
	prototype Objective
	describe  *pb.Description
	options   []schema.Option
	// mapSegment maps shared memory; in process it hands out the host's own memory.
	mapSegment func(*pb.Segment) ([]byte, error)

	mu      sync.RWMutex // guards the session
	session *session
}

type session struct {
	objective Objective
	plan      *Plan
	samplers  []*sampler
	memory    *memory
}

// NewServer checks the objective's declaration and returns its server. mapSegment may be nil: then
// segments are mapped from inherited descriptors or paths.
func NewServer(o Objective, mapSegment func(*pb.Segment) ([]byte, error)) (*Server, error) {
	_, v, err := fresh(o)
	if err != nil {
		return nil, err
	}
	info := o.Info()
	options, err := optionsOf(v)
	if err == nil {
		err = schema.Check(options)
	}
	if err == nil && info.Name == "" {
		err = errors.New("Info gives no name")
	}
	if err != nil {
		return nil, fmt.Errorf("objective %q: %w", info.Name, err)
	}
	if mapSegment == nil {
		mapSegment = mapShared
	}
	d := &pb.Description{
		Name: info.Name, Version: info.Version, Summary: info.Summary,
		Paper: info.Paper, License: info.License, Options: optionMessages(options),
	}
	_, d.Targets = o.(Targeter)
	if _, d.Evaluates = o.(Evaluator); d.Evaluates {
		d.ProtocolMinor = ProtocolMinor
	}
	return &Server{prototype: o, describe: d, options: options, mapSegment: mapSegment}, nil
}

// optionMessages turns options into messages of the protocol.
func optionMessages(options []schema.Option) []*pb.Option {
	var out []*pb.Option
	for _, o := range options {
		out = append(out, &pb.Option{
			Key: o.Key, Type: pb.Option_Type(o.Type), DefaultJson: o.Default, Min: o.Min, Max: o.Max,
			ExclusiveMin: o.ExclusiveMin, ExclusiveMax: o.ExclusiveMax, Choices: o.Choices, Help: o.Help,
		})
	}
	return out
}

// guard turns a panic of the author's code into an error with its stack on standard error, and an
// error into a status that the host does not retry.
func (s *Server) guard(call string, err *error) {
	if r := recover(); r != nil {
		fmt.Fprintf(os.Stderr, "panic in %s of objective %s: %v\n%s", call, s.describe.Name, r, debug.Stack())
		*err = status.Errorf(codes.Internal, "%s panicked: %v", call, r)
		return
	}
	if *err != nil && status.Code(*err) == codes.Unknown {
		*err = status.Error(codes.FailedPrecondition, (*err).Error())
	}
}

// Describe implements the protocol.
func (s *Server) Describe(context.Context, *pb.DescribeRequest) (*pb.Description, error) {
	return proto.CloneOf(s.describe), nil
}

// Open implements the protocol.
func (s *Server) Open(_ context.Context, r *pb.OpenRequest) (m *pb.Plan, err error) {
	defer s.guard("Plan", &err)
	ses, err := newSession(s.prototype, s.options, plan.RunFromProto(r), r.ConfigJson)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release()
	s.session = ses
	return ses.plan.ToProto(), nil
}

// newSession plans an objective with the options of a JSON object.
func newSession(prototype Objective, options []schema.Option, run Run, config []byte) (*session, error) {
	config, err := schema.Parse(options, config)
	if err != nil {
		return nil, err
	}
	o, v, err := fresh(prototype)
	if err != nil {
		return nil, err
	}
	if err := setOptions(v, config); err != nil {
		return nil, err
	}
	if err := validate(v); err != nil {
		return nil, err
	}
	b := newBuilder(run)
	if err := o.Plan(b); err != nil {
		return nil, err
	}
	if b.err != nil { // a plan that did not return the result of Minimize
		return nil, b.err
	}
	return &session{objective: o, plan: b.plan, samplers: b.samplers}, nil
}

func (s *Server) current(call string) (*session, error) {
	if s.session == nil {
		return nil, fmt.Errorf("%s was called before Open", call)
	}
	return s.session, nil
}

// Mask implements the protocol.
func (s *Server) Mask(_ context.Context, r *pb.MaskRequest) (reply *pb.MaskReply, err error) {
	defer s.guard("Mask", &err)
	s.mu.RLock()
	defer s.mu.RUnlock()
	ses, err := s.current("Mask")
	if err != nil {
		return nil, err
	}
	geometry := map[string][]*pb.Box{}
	for _, g := range r.Geometry {
		geometry[g.View] = g.Boxes
	}
	c := &MaskCall{MicroBatch: r.Step, Seed: r.Seed, Samples: r.SampleIds, boxes: func(view string, i int) (Box, bool) {
		if boxes := geometry[view]; i < len(boxes) {
			return boxOf(boxes[i]), true
		}
		return Box{}, false
	}}
	reply = &pb.MaskReply{Step: r.Step}
	for _, m := range ses.samplers {
		v := m.run(c)
		reply.Sets = append(reply.Sets, &pb.MaskSet{Name: v.Name, Values: v.Values, Bitmap: v.Bitmap})
	}
	return reply, nil
}

func boxOf(b *pb.Box) Box {
	return Box{Top: b.Top, Left: b.Left, Height: b.Height, Width: b.Width, Flip: b.Flip,
		SourceHeight: int(b.SourceHeight), SourceWidth: int(b.SourceWidth)}
}

// Bind implements the protocol.
func (s *Server) Bind(_ context.Context, r *pb.BindRequest) (reply *pb.BindReply, err error) {
	defer s.guard("Bind", &err)
	s.mu.Lock()
	defer s.mu.Unlock()
	ses, err := s.current("Bind")
	if err != nil {
		return nil, err
	}
	m, err := bind(r, s.mapSegment)
	if err != nil {
		return nil, err
	}
	ses.memory = m
	return &pb.BindReply{}, nil
}

// Targets implements the protocol.
func (s *Server) Targets(_ context.Context, r *pb.TargetsRequest) (reply *pb.TargetsReply, err error) {
	defer s.guard("Targets", &err)
	s.mu.RLock()
	defer s.mu.RUnlock()
	ses, err := s.current("Targets")
	if err != nil {
		return nil, err
	}
	t, ok := ses.objective.(Targeter)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "the objective computes no targets")
	}
	if ses.memory == nil {
		return nil, errors.New("targets were called before Bind")
	}
	call := &TargetsCall{Step: r.Step, Attempt: r.Attempt, Seed: r.Seed, Samples: r.SampleIds, memory: ses.memory}
	return &pb.TargetsReply{Step: r.Step}, t.Targets(call)
}

// Evaluate implements the protocol.
func (s *Server) Evaluate(_ context.Context, r *pb.EvaluateRequest) (reply *pb.EvaluateReply, err error) {
	defer s.guard("Evaluate", &err)
	s.mu.RLock()
	defer s.mu.RUnlock()
	ses, err := s.current("Evaluate")
	if err != nil {
		return nil, err
	}
	e, ok := ses.objective.(Evaluator)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "the objective does not evaluate")
	}
	if ses.memory == nil {
		return nil, errors.New("evaluate was called before Bind")
	}
	call := &EvaluateCall{request: r, memory: ses.memory, Step: r.Step, Attempt: r.Attempt, Seed: r.Seed,
		Samples: r.SampleIds, Gradients: r.Gradients, updated: map[string]bool{}}
	loss, metrics, err := e.Evaluate(call)
	if err != nil {
		return nil, err
	}
	reply = &pb.EvaluateReply{Step: r.Step, Loss: loss}
	for name, v := range metrics {
		reply.Metrics = append(reply.Metrics, &pb.Value{Name: name, Value: v})
	}
	sort.Slice(reply.Metrics, func(i, j int) bool { return reply.Metrics[i].Name < reply.Metrics[j].Name })
	for name := range call.updated {
		reply.Updated = append(reply.Updated, name)
	}
	sort.Strings(reply.Updated)
	return reply, nil
}

// Close implements the protocol.
func (s *Server) Close(context.Context, *pb.CloseRequest) (*pb.CloseReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release()
	return &pb.CloseReply{}, nil
}

// release ends the session; an objective that is an io.Closer is closed.
func (s *Server) release() {
	if s.session == nil {
		return
	}
	if c, ok := s.session.objective.(interface{ Close() error }); ok {
		if err := c.Close(); err != nil {
			fmt.Fprintf(os.Stderr, "closing %s: %v\n", reflect.TypeOf(s.session.objective), err)
		}
	}
	s.session.memory.unmap()
	s.session = nil
}
