package host

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/vittool/vittool/plugins/pb"
	"github.com/vittool/vittool/plugins/schema"
)

// Description describes an objective and its options.
type Description struct {
	Name    string // lower-case identifier
	Version string // of the objective
	Summary string // one line
	Paper   string
	License string
	Options []schema.Option // its whole configuration

	Targets   bool // it computes targets itself
	Evaluates bool // it computes a loss itself

	minor uint32 // version of the protocol that it needs
}

// describe turns the message of Describe into a checked description.
func describe(d *pb.Description) (*Description, error) {
	if d.Name == "" || strings.ToLower(d.Name) != d.Name || strings.ContainsAny(d.Name, " /\\\t\n") {
		return nil, fmt.Errorf("field name is %q; a name is lower-case without spaces and slashes", d.Name)
	}
	if d.Version == "" {
		return nil, fmt.Errorf("field version is empty")
	}
	out := &Description{Name: d.Name, Version: d.Version, Summary: d.Summary, Paper: d.Paper, License: d.License,
		Targets: d.Targets, Evaluates: d.Evaluates, minor: d.ProtocolMinor}
	for _, o := range d.Options {
		out.Options = append(out.Options, schema.Option{
			Key: o.Key, Type: schema.Type(o.Type), Default: o.DefaultJson, Min: o.Min, Max: o.Max,
			ExclusiveMin: o.ExclusiveMin, ExclusiveMax: o.ExclusiveMax, Choices: o.Choices, Help: o.Help,
		})
	}
	if err := schema.Check(out.Options); err != nil {
		return nil, fmt.Errorf("field options: %w", err)
	}
	return out, nil
}

// planDifference names the first field in which two plans differ.
func planDifference(first []byte, b *pb.Plan) string {
	a, where := &pb.Plan{}, ""
	if err := proto.Unmarshal(first, a); err != nil {
		return err.Error()
	}
	fields := a.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		only := func(p *pb.Plan) *pb.Plan {
			q := &pb.Plan{}
			if p.ProtoReflect().Has(f) {
				q.ProtoReflect().Set(f, p.ProtoReflect().Get(f))
			}
			return q
		}
		x, y := only(a), only(b)
		if proto.Equal(x, y) {
			continue
		}
		s, t := prototext.Format(x), prototext.Format(y)
		k := 0
		for k < min(len(s), len(t)) && s[k] == t[k] {
			k++
		}
		around := func(s string) string { return s[min(len(s), max(0, k-30)):min(len(s), k+50)] }
		where = fmt.Sprintf("field %s, %q became %q", f.Name(), around(s), around(t))
		break
	}
	return where
}
