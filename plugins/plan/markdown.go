package plan

import (
	"fmt"
	"strings"
)

// Markdown is the operator table as a page of documentation.
func Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Operators of a program, version %d\n\n", OperatorVersion)
	b.WriteString(`The operators that nodes of an objective's program may name. This page is generated from the operator table
(plugins/plan, Operators); a test compares the two. Go authors call the typed methods of plugins/sdk instead of naming
operators; other languages name them in ` + "`Node.op`" + `.

Shapes are row-major; […] is any number of dimensions, [] a single number. B samples, L patches, K visible patches, N
tokens, D width, P = patch²·C values of a patch. A node's result is read by its name, and by the number of the output
where it has several. Gradients flow into every input of numbers unless the table says otherwise. An unknown operator,
input or attribute, a missing one, and shapes that disagree are refused before a run starts, with the node's
name and the shapes of its inputs.
`)
	for _, group := range operatorGroups {
		fmt.Fprintf(&b, "\n## %s\n", group.title)
		for _, op := range group.operators {
			op.markdown(&b)
		}
	}
	return b.String()
}

func (op *Operator) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n\n| | name | shape or type | |\n|---|---|---|---|\n", op.Name, op.Summary)
	for _, in := range op.Inputs {
		var notes []string
		switch {
		case in.Either:
			notes = append(notes, "integers or numbers")
		case in.Int:
			notes = append(notes, "integers")
		}
		if in.Buffer {
			notes = append(notes, "a buffer")
		}
		if in.Optional {
			notes = append(notes, "optional")
		}
		if in.Repeated {
			notes = append(notes, "may be given several times")
		}
		if in.Doc != "" {
			notes = append(notes, in.Doc)
		}
		fmt.Fprintf(b, "| input | `%s` | %s | %s |\n", in.Name, in.Shape, strings.Join(notes, "; "))
	}
	for _, a := range op.Attributes {
		note := "required"
		if !a.Required {
			note = fmt.Sprintf("default %v", a.Default)
		}
		if a.Doc != "" {
			note += "; " + a.Doc
		}
		fmt.Fprintf(b, "| attribute | `%s` | %s | %s |\n", a.Name, a.Type, note)
	}
	for i, o := range op.Outputs {
		fmt.Fprintf(b, "| output %d | `%s` | %s | %s |\n", i, o.Name, o.Shape, o.Doc)
	}
}
