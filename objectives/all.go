// Package objectives lists the built-in objectives. Each lives in a folder of its own and is
// written against plugins/sdk alone, exactly as a third-party one would be.
package objectives

import (
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"github.com/vittool/vittool/objectives/beit"
	"github.com/vittool/vittool/objectives/byol"
	"github.com/vittool/vittool/objectives/dino"
	"github.com/vittool/vittool/objectives/dvae"
	"github.com/vittool/vittool/objectives/instdisc"
	"github.com/vittool/vittool/objectives/mae"
	"github.com/vittool/vittool/objectives/moco"
	"github.com/vittool/vittool/objectives/mocov3"
	"github.com/vittool/vittool/objectives/simclr"
	"github.com/vittool/vittool/objectives/simsiam"
	"github.com/vittool/vittool/objectives/sit"
	"github.com/vittool/vittool/objectives/swav"
	"github.com/vittool/vittool/objectives/vq"
	"github.com/vittool/vittool/plugins/sdk"
)

// All returns a fresh value of every built-in objective.
func All() []sdk.Objective {
	return []sdk.Objective{
		dino.New(),
		mae.New(),
		mocov3.New(),
		simclr.New(),
		moco.New(),
		simsiam.New(),
		sit.New(),
		beit.New(),
		vq.New(),
		dvae.New(),
		byol.New(),
		swav.New(),
		instdisc.New(),
	}
}

// Presets returns the recipes of the built-in objectives: each a file system with files
// presets/NAME.yaml, from the method Presets of an objective that has any.
func Presets() []fs.FS {
	var all []fs.FS
	for _, o := range All() {
		if r, ok := o.(interface{ Presets() fs.FS }); ok {
			all = append(all, r.Presets())
		}
	}
	return all
}

// New returns a built-in objective by its name. An unknown name is an error that lists the known
// ones; so are two objectives of one name.
func New(name string) (sdk.Objective, error) { return find(All(), name) }

// Names returns the names of the built-in objectives in alphabetical order.
func Names() []string { return names(All()) }

func find(all []sdk.Objective, name string) (sdk.Objective, error) {
	var found sdk.Objective
	seen := map[string]bool{}
	for _, o := range all {
		n := o.Info().Name
		if seen[n] {
			return nil, fmt.Errorf("two built-in objectives are named %q", n)
		}
		seen[n] = true
		if n == name {
			found = o
		}
	}
	if found == nil {
		return nil, fmt.Errorf("unknown objective %q, valid are: %s (a plugin of your own is given by its path, objective.plugin)", name, strings.Join(names(all), ", "))
	}
	return found, nil
}

func names(all []sdk.Objective) []string {
	out := make([]string, len(all))
	for i, o := range all {
		out[i] = o.Info().Name
	}
	sort.Strings(out)
	return out
}
