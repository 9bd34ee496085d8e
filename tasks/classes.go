package tasks

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/vittool/vittool/data"
)

// ClassMatch says which classes two sets of images have in common, by their names. Names
// that differ only in how Unicode composes their accents are the same.
type ClassMatch struct {
	Classes   []string // those of the training images, in their order
	Untested  []string // of them, without a test image
	Unknown   []string // of the test images, without a training image
	Respelled []string // written in two Unicode forms
	// Train and Test hold the images with a class of Classes, or the sources themselves
	// where all images have one.
	Train, Test data.Source
	// Unlabelled and OfUnknown count the images that are left out: of both sets without a
	// class, of the test set with an unknown one.
	Unlabelled, OfUnknown int
	// Example is an image without a class.
	Example string
}

// MatchClasses looks at the labels of two sources, and at no image.
func MatchClasses(train, test data.Source) *ClassMatch {
	m := &ClassMatch{}
	learned, tested := m.present(train), m.present(test)
	m.Classes = learned.names
	for _, c := range learned.names {
		if _, ok := tested.byKey[norm.NFC.String(c)]; !ok {
			m.Untested = append(m.Untested, c)
		}
	}
	for _, c := range tested.names {
		other, ok := learned.byKey[norm.NFC.String(c)]
		switch {
		case !ok:
			m.Unknown = append(m.Unknown, c)
		case other != c:
			m.Respelled = append(m.Respelled, c)
		}
	}
	m.Respelled = slices.Compact(slices.Sorted(slices.Values(m.Respelled)))
	m.Train, m.Test = m.of(train, learned.byKey), m.of(test, learned.byKey)
	return m
}

// presentClasses are those of which there are images, of several spellings the first
// one, in order and by their composed forms.
type presentClasses struct {
	names []string
	byKey map[string]string
}

func (m *ClassMatch) present(s data.Source) presentClasses {
	p := presentClasses{byKey: map[string]string{}}
	has := make([]bool, len(s.Classes()))
	for id := range s.Len() {
		if c := s.Class(id); c >= 0 {
			has[c] = true
		}
	}
	for c, name := range s.Classes() {
		if !has[c] {
			continue
		}
		key := norm.NFC.String(name)
		if _, ok := p.byKey[key]; ok {
			m.Respelled = append(m.Respelled, name)
			continue
		}
		p.names, p.byKey[key] = append(p.names, name), name
	}
	return p
}

// of returns the images of a source that have a known class.
func (m *ClassMatch) of(s data.Source, known map[string]string) data.Source {
	class := make([]bool, len(s.Classes()))
	for c, name := range s.Classes() {
		_, class[c] = known[norm.NFC.String(name)]
	}
	ids := make([]int, 0, s.Len())
	for id := range s.Len() {
		switch c := s.Class(id); {
		case c < 0:
			if m.Unlabelled++; m.Example == "" {
				m.Example = s.Name(id)
			}
		case !class[c]:
			m.OfUnknown++
		default:
			ids = append(ids, id)
		}
	}
	if len(ids) == s.Len() {
		return s
	}
	return data.Subset(s, ids)
}

// Relabel numbers the labels of features of Train or Test as Classes does.
func (m *ClassMatch) Relabel(f *Features) {
	byKey := map[string]int32{}
	for i, name := range m.Classes {
		byKey[norm.NFC.String(name)] = int32(i)
	}
	number := make([]int32, len(f.Classes))
	for c, name := range f.Classes {
		number[c] = byKey[norm.NFC.String(name)]
	}
	for i, l := range f.Labels {
		f.Labels[i] = number[l]
	}
	f.Classes = m.Classes
}

// Notes say in a line each what is left out and what is missing.
func (m *ClassMatch) Notes() []string {
	var notes []string
	if m.Unlabelled > 0 {
		notes = append(notes, fmt.Sprintf("images without a class are left out: %d, such as %s", m.Unlabelled, m.Example))
	}
	var parts []string
	if len(m.Untested) > 0 {
		parts = append(parts, fmt.Sprintf("without test images: %s", NameList(m.Untested)))
	}
	if len(m.Unknown) > 0 {
		parts = append(parts, fmt.Sprintf("without training images, their test images left out: %s (%d images)", NameList(m.Unknown), m.OfUnknown))
	}
	if len(m.Respelled) > 0 {
		parts = append(parts, fmt.Sprintf("written in two Unicode forms, and taken as one: %s", NameList(m.Respelled)))
	}
	if len(parts) > 0 {
		notes = append(notes, "classes "+strings.Join(parts, "; "))
	}
	return notes
}

// NameList joins names by commas, the first ten of many.
func NameList(names []string) string {
	const most = 10
	if n := len(names) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n)
	}
	return strings.Join(names, ", ")
}
