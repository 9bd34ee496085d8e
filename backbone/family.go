package backbone

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/vittool/vittool/internal/edit"
	"github.com/vittool/vittool/tensor"
)

// Family is one kind of network, such as vision transformers.
type Family interface {
	// Name is the family's name in plans and checkpoints, such as vit.
	Name() string
	// Variants lists the full names of the family's models, as in timm.
	Variants() []string
	// Variant returns a model by its name; an unknown name is an error, see [Unknown].
	Variant(name string) (Config, error)
	// Decode reads a configuration from JSON as json.Marshal writes it, and checks it.
	Decode(text []byte) (Config, error)
	// Landmark names a tensor that every network of the family has. A file with it under some
	// prefix holds one.
	Landmark() string
	// Recognize names the variants whose tensors a file has, each in its shape. shape returns that
	// of one of the file's tensors, false where there is none.
	Recognize(shape func(name string) (tensor.Shape, bool)) []string
	// Samples are a few networks of different sizes, the first of them small, that objectives are
	// tried with.
	Samples() []Config
}

// DefaultFamily is the family of configurations that name none, as those of files from before there
// was a second one.
const DefaultFamily = "vit"

// Families is a list of families. Names of families, of models and of landmarks are distinct.
type Families []Family

// Variants lists the models of all families.
func (fs Families) Variants() []string {
	var names []string
	for _, f := range fs {
		names = append(names, f.Variants()...)
	}
	return names
}

// Example is the name of one of the models.
func (fs Families) Example() string { return fs[0].Variants()[0] }

// Variant returns a model by its name. The error of an unknown name is [Unknown].
func (fs Families) Variant(name string) (Config, error) {
	for _, f := range fs {
		if c, err := f.Variant(name); err == nil {
			return c, nil
		}
	}
	return nil, Unknown(name, fs.Variants())
}

// Unknown is the error of a model name that is not among the known ones; it suggests the nearest.
func Unknown(name string, known []string) error {
	return edit.Unknown("model", name, known)
}

// Landmarks lists the tensor of each family by which a file is known to hold one of its networks.
func (fs Families) Landmarks() []string {
	var names []string
	for _, f := range fs {
		names = append(names, f.Landmark())
	}
	return names
}

// Recognize names the models of all families whose tensors a file has; see [Family.Recognize].
func (fs Families) Recognize(shape func(name string) (tensor.Shape, bool)) []string {
	var names []string
	for _, f := range fs {
		names = append(names, f.Recognize(shape)...)
	}
	return names
}

// Encode writes a configuration as JSON for the metadata of a file. All but the default family are
// named in it.
func Encode(c Config) ([]byte, error) {
	text, err := json.Marshal(c)
	if family := c.Info().Family; err == nil && family != DefaultFamily {
		inner := bytes.TrimPrefix(text, []byte("{"))
		text = fmt.Appendf(nil, `{"family":%q`, family)
		if !bytes.Equal(inner, []byte("}")) {
			text = append(text, ',')
		}
		text = append(text, inner...)
	}
	return text, err
}

// DecodeStrict reads JSON into a family's configuration. Unknown fields are errors.
func DecodeStrict(text []byte, config any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(config)
}

// Decode reads the configuration that Encode wrote. Unknown families, unknown fields and settings
// that no network can be built from are errors.
func (fs Families) Decode(text []byte) (Config, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	family := DefaultFamily
	if name, ok := fields["family"]; ok {
		if err := json.Unmarshal(name, &family); err != nil {
			return nil, fmt.Errorf("family: %w", err)
		}
		delete(fields, "family")
		var err error
		if text, err = json.Marshal(fields); err != nil {
			return nil, err
		}
	}
	var known []string
	for _, f := range fs {
		if f.Name() == family {
			return f.Decode(text)
		}
		known = append(known, f.Name())
	}
	return nil, edit.Unknown("family", family, known)
}
