package objectives

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/vittool/vittool/plugins/sdk"
)

func TestNew(t *testing.T) {
	for _, name := range Names() {
		o, err := New(name)
		if err != nil || o.Info().Name != name {
			t.Errorf("%s: %v, %v", name, o, err)
		}
	}
	if _, err := New("dyno"); err == nil || !strings.Contains(err.Error(), strings.Join(Names(), ", ")) {
		t.Errorf("%v", err)
	}
	twice := append(All(), All()[0])
	if _, err := find(twice, "mae"); err == nil || !strings.Contains(err.Error(), "two built-in objectives") {
		t.Errorf("%v", err)
	}
}

func TestInfo(t *testing.T) {
	for _, o := range All() {
		i := o.Info()
		if i.Version == "" || i.Summary == "" || i.Paper == "" || i.License == "" {
			t.Errorf("%s: incomplete %+v", i.Name, i)
		}
		if _, err := sdk.NewServer(o, nil); err != nil {
			t.Error(err)
		}
	}
}

// No two recipes have one name.
func TestPresets(t *testing.T) {
	of := map[string]bool{}
	for _, files := range Presets() {
		found, err := fs.Glob(files, "presets/*.yaml")
		if err != nil || len(found) == 0 {
			t.Errorf("%v, %v: want at least one recipe", found, err)
		}
		for _, path := range found {
			if of[path] {
				t.Errorf("two objectives have %s", path)
			}
			of[path] = true
		}
	}
}
