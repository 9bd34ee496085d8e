package host

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/sdk"
)

// local is a client that calls the server of a plugin process inside the host: for debugging, and
// to prove that the process boundary changes no bit. An objective that hangs cannot be killed here;
// its call is abandoned and its goroutine left behind.
type local struct {
	server *sdk.Server
	calls  atomic.Int32 // in progress, abandoned ones included
}

// idle reports whether no call is in progress any more, after waiting for d at most.
func (l *local) idle(d time.Duration) bool {
	for end := time.Now().Add(d); l.calls.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// call gives the objective a copy of the request, as a connection would: an abandoned call may
// still read it after the caller has reused its memory.
func call[Q proto.Message, R any](ctx context.Context, l *local, q Q, f func(context.Context, Q) (R, error)) (R, error) {
	type result struct {
		r   R
		err error
	}
	q = proto.Clone(q).(Q)
	done := make(chan result, 1)
	l.calls.Add(1)
	go func() {
		defer l.calls.Add(-1)
		r, err := f(ctx, q)
		done <- result{r, err}
	}()
	select {
	case x := <-done:
		return x.r, x.err
	case <-ctx.Done():
		var zero R
		return zero, ctx.Err()
	}
}

func (l *local) Describe(ctx context.Context, q *pb.DescribeRequest, _ ...grpc.CallOption) (*pb.Description, error) {
	return call(ctx, l, q, l.server.Describe)
}

func (l *local) Open(ctx context.Context, q *pb.OpenRequest, _ ...grpc.CallOption) (*pb.Plan, error) {
	return call(ctx, l, q, l.server.Open)
}

func (l *local) Bind(ctx context.Context, q *pb.BindRequest, _ ...grpc.CallOption) (*pb.BindReply, error) {
	return call(ctx, l, q, l.server.Bind)
}

func (l *local) Mask(ctx context.Context, q *pb.MaskRequest, _ ...grpc.CallOption) (*pb.MaskReply, error) {
	return call(ctx, l, q, l.server.Mask)
}

func (l *local) Targets(ctx context.Context, q *pb.TargetsRequest, _ ...grpc.CallOption) (*pb.TargetsReply, error) {
	return call(ctx, l, q, l.server.Targets)
}

func (l *local) Evaluate(ctx context.Context, q *pb.EvaluateRequest, _ ...grpc.CallOption) (*pb.EvaluateReply, error) {
	return call(ctx, l, q, l.server.Evaluate)
}

func (l *local) Close(ctx context.Context, q *pb.CloseRequest, _ ...grpc.CallOption) (*pb.CloseReply, error) {
	return call(ctx, l, q, l.server.Close)
}

// newLocal serves an objective inside the host; memory returns the segment of a name, for Bind.
func newLocal(o sdk.Objective, memory func(name string) []byte) (*process, error) {
	s, err := sdk.NewServer(o, func(seg *pb.Segment) ([]byte, error) {
		b := memory(seg.Name)
		if b == nil {
			return nil, fmt.Errorf("no segment %q", seg.Name)
		}
		return b, nil
	})
	if err != nil {
		return nil, err
	}
	l := &local{server: s}
	return &process{client: l, local: l}, nil
}
