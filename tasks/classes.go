package tasks

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/vittool/vittool/data"
)

// ClassMatch compares the classes of two sets of images by their names. Two Unicode forms of one
// name (composed and decomposed accents) are the same class.
type ClassMatch struct {
	Classes   []string // those of the training images, in their order
	Untested  []string // classes of the training images without a test image
	Unknown   []string // classes of the test images without a training image
	Respelled []string // classes written in two Unicode forms
	// Train and Test hold the images with a class of Classes. They are the sources themselves where
	// all images have one.
	Train, Test data.Source
	// Unlabelled counts the images of both sets that are left out for want of a class, OfUnknown
	// the test images that are left out because their class is Unknown.
	Unlabelled, OfUnknown int
	// Example is an image without a class.
	Example string
}

// MatchClasses compares the labels of two sources; it reads no image.
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

// presentClasses are the classes that have images: their names in order (the first of several
// spellings), and the names by their composed form.
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

// of returns the images of a source with a known class.
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

// Unlabelled counts the images without a class where others have one; first is the name of the
// first of them. It reads no image.
func Unlabelled(s data.Source) (n int, first string) {
	if s.Classes() == nil {
		return 0, ""
	}
	for id := range s.Len() {
		if s.Class(id) >= 0 {
			continue
		}
		if n++; n == 1 {
			first = s.Name(id)
		}
	}
	return n, first
}

// Relabel turns the labels of features of Train or Test into indices of Classes.
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

// Notes returns a line for each kind of image that is left out and of class that is missing.
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

// NameList joins names by commas; of many it shows the first ten.
func NameList(names []string) string {
	const most = 10
	if n := len(names) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n)
	}
	return strings.Join(names, ", ")
}
