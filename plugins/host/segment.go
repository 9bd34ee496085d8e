package host

import (
	"os"

	"github.com/vittool/vittool/plugins/pb"
)

// The two segments of shared memory and the descriptors a plugin inherits them as, after the
// lifeline.
const (
	segmentConstant = "constant" // views, inputs, parameters, buffers: the plugin can only read it
	segmentWritable = "writable" // targets, gradients, updates, scratch
	fdLifeline      = 3
	fdConstant      = 4
	fdWritable      = 5
)

// segment is one piece of shared memory.
type segment struct {
	name     string
	file     *os.File
	child    *os.File // that the plugin inherits; nil where it opens path
	path     string
	readOnly bool
	mem      []byte // the host's writable mapping; nil before resize
}

func (s *segment) spec(fd int32) *pb.Segment {
	p := &pb.Segment{Name: s.name, Size: uint64(len(s.mem)), ReadOnly: s.readOnly, Path: s.path}
	if s.child != nil {
		p.Fd = fd
	}
	return p
}
