// Package families is the plain list of the network families that vittool has.
package families

import (
	"github.com/vittool/vittool/backbone"
	"github.com/vittool/vittool/cnn"
	"github.com/vittool/vittool/vit"
)

// All lists the families. A new one is a package of its own and a line here.
func All() backbone.Families {
	return backbone.Families{
		vit.Family{},
		cnn.Family{},
	}
}

// Or returns the list itself, or All where it is empty.
func Or(list backbone.Families) backbone.Families {
	if len(list) == 0 {
		return All()
	}
	return list
}
