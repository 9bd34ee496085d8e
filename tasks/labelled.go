package tasks

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vittool/vittool/configs"
	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/internal/prng"
)

// The demo's scenes are drawn from their numbers and a seed, so another seed gives other scenes of
// the same classes.
const (
	DemoTrain = "demo:"
	DemoTest  = "demo:?count=1000&seed=1"
)

// SplitPaths returns the images to learn from and to test on of a folder that holds train and test
// (or val), or of demo:. A folder without them is a *data.Error without a hint, and one set of drawn
// scenes a *configs.Error without a key.
func SplitPaths(path string) (train, test string, err error) {
	switch {
	case path == DemoTrain:
		return DemoTrain, DemoTest, nil
	case strings.HasPrefix(path, DemoTrain):
		return "", "", &configs.Error{Value: path, Problem: "is one set of scenes, and two are needed: to learn from and to test on", Hint: "take " + DemoTrain}
	}
	if _, err := os.Stat(path); err != nil {
		return "", "", &data.Error{Path: path, Problem: "can't be read", Err: err}
	}
	train = filepath.Join(path, "train")
	for _, name := range []string{"test", "val"} {
		test = filepath.Join(path, name)
		if isFolder(train) && isFolder(test) {
			return train, test, nil
		}
	}
	return "", "", &data.Error{Path: path, Problem: "has no subfolders train and test (or val)"}
}

// Labelled is two sets of images with classes in common: to learn from and to test on.
type Labelled struct {
	// ClassMatch says which classes and images are left out. Its Train and Test hold the others.
	*ClassMatch
	opened [2]data.Source
}

// OpenLabelled opens two sets of images and matches their classes. Of each set at most limit images
// are taken (0: all), see [Draw]. Sets that there is nothing to learn or to test with are a
// *data.Error. No image is read. The caller closes the result.
func OpenLabelled(train, test string, o data.Options, limit int) (_ *Labelled, err error) {
	l := &Labelled{}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	for i, path := range []string{train, test} {
		o.Path = path
		if l.opened[i], err = OpenImages(o); err != nil {
			return nil, err
		}
	}
	l.ClassMatch = MatchClasses(l.opened[0], l.opened[1])
	if err := l.check(train, test); err != nil {
		return nil, err
	}
	l.Train, l.Test = Draw(l.Train, limit), Draw(l.Test, limit)
	return l, nil
}

// check refuses sets of images that there is nothing to learn or to test with.
func (l *Labelled) check(train, test string) error {
	for i, path := range []string{train, test} {
		if len(l.opened[i].Classes()) == 0 {
			return &data.Error{Path: path, Problem: "its images have no labels",
				Hint: "put the images of each class into a subfolder of its own"}
		}
	}
	if len(l.ClassMatch.Classes) < 2 {
		return &data.Error{Path: train, Problem: fmt.Sprintf("all its images are of one class, %s: there is nothing to distinguish", NameList(l.ClassMatch.Classes)),
			Hint: "put the images of each of two or more classes into a subfolder of its own"}
	}
	if l.Test.Len() == 0 {
		return &data.Error{Path: test, Problem: fmt.Sprintf("has no class (%s) in common with %s (%s)", NameList(l.Unknown), train, NameList(l.ClassMatch.Classes)),
			Hint: "name the subfolders of both alike"}
	}
	return nil
}

// Close closes the sources.
func (l *Labelled) Close() {
	for _, s := range l.opened {
		if s != nil {
			s.Close()
		}
	}
}

// Draw returns n images of a source, or the source itself where n is 0 or it has no more. Each class
// has the share of them that it has of the source, but for rounding. They are drawn at random by a
// fixed seed: equal sources give equal images, and a larger n gives further ones. They keep their order.
func Draw(src data.Source, n int) data.Source {
	if n == 0 || n >= src.Len() {
		return src
	}
	classes := map[int][]int{}
	for id := range src.Len() {
		classes[src.Class(id)] = append(classes[src.Class(id)], id)
	}
	type place struct {
		id int
		at float64 // in an order of all images that every class is spread over evenly
	}
	var order []place
	for class, ids := range classes {
		random := prng.New(0, "labelled images", class)
		first := random.Float64()
		for i, p := range random.Perm(len(ids)) {
			order = append(order, place{ids[p], (float64(i) + first) / float64(len(ids))})
		}
	}
	slices.SortFunc(order, func(a, b place) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	ids := make([]int, n)
	for i := range ids {
		ids[i] = order[i].id
	}
	slices.Sort(ids)
	return data.Subset(src, ids)
}
