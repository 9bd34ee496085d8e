package programtest

import (
	"github.com/vittool/vittool/core"
	"github.com/vittool/vittool/plugins/program"
	"github.com/vittool/vittool/vit"
)

// ViTPass returns the nodes of a pass of a Vision Transformer.
func ViTPass(c *program.Compiler, name string) (*vit.Outputs, error) {
	out, err := c.Pass(name)
	if err != nil {
		return nil, err
	}
	return out.(*vit.Outputs), nil
}

// Attention is the softmax weights [B, H, T, T] of a block that the network has.
func Attention(o *vit.Outputs, block int) *core.Node {
	n, err := o.Attention(block)
	if err != nil {
		panic(err)
	}
	return n
}

// Student is the student of a plan compiled for a Vision Transformer.
func Student(c *program.Compiler) *vit.Backbone { return c.Student.(*vit.Backbone) }
