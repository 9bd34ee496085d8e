package data

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// listItem is one record of a list file.
type listItem struct {
	path, label string
	line        int
	doubtful    bool // not called like an image although most others are
}

// openList reads a list of image files: lines, or a table as spreadsheets and pandas write it.
// Their order is the order of the lines; relative paths start at the folder of the list.
func openList(o Options) (Source, error) {
	f, err := os.Open(o.Path)
	if err != nil {
		return nil, pathError(o.Path, err)
	}
	defer f.Close()
	base := filepath.Dir(o.Path)
	items, ignored, err := parseList(f, strings.ToLower(filepath.Ext(o.Path)))
	if err == nil {
		err = settlePaths(base, items)
	}
	var bad *listError
	switch {
	case errors.As(err, &bad):
		return nil, problem(fmt.Sprintf("%s:%d", o.Path, bad.line), "one image per line: a path, optionally followed by a tab or comma and a label, below a header such as path,label or none", "%s", bad.problem)
	case err != nil:
		return nil, pathError(o.Path, err)
	case len(items) == 0:
		return nil, problem(o.Path, "write one image path per line", "lists no images")
	}
	if len(ignored) > 0 && o.Note != nil {
		o.Note(fmt.Sprintf("%s: columns that are not used: %s", o.Path, strings.Join(ignored, ", ")))
	}
	if o.Note != nil {
		if repeated := repetitions(items); repeated != "" {
			o.Note(o.Path + ": " + repeated)
		}
	}
	s := &fileSet{options: o, entries: make([]entry, len(items))}
	lines := make([]int, len(items))
	labels := make([]string, len(items))
	for i, it := range items {
		s.entries[i].name, lines[i], labels[i] = it.path, it.line, it.label
	}
	s.labelNumeric(labels)
	s.onDisk(func(id int) string { return listedFile(base, s.entries[id].name) })
	s.listed = func(id int) string { return fmt.Sprintf("it stands in line %d of %s", lines[id], o.Path) }
	return s, nil
}

// listedFile is where a path of a list in the folder base leads.
func listedFile(base, path string) string {
	p := filepath.FromSlash(path)
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(base, p)
}

// settlePaths replaces the backslashes of Windows where no file has them in its name, and refuses
// paths that are neither called like an image, as most others are, nor lead to a file: headers of
// an unknown kind, sums below a table. The first path has to lead to a file if it is not called
// like an image.
func settlePaths(base string, items []listItem) error {
	exists := func(path string) bool {
		_, err := os.Lstat(listedFile(base, path))
		return err == nil
	}
	const looks = 100 // after which a list is known not to mean backslashes
	looked, meant := 0, false
	for i := range items {
		it := &items[i]
		if strings.Contains(it.path, `\`) {
			literal := false
			if looked < looks || meant {
				looked++
				literal = exists(it.path)
				meant = meant || literal
			}
			if !literal {
				it.path = strings.ReplaceAll(it.path, `\`, "/")
			}
		}
		if (it.doubtful || i == 0 && !HasImageExtension(it.path)) && !exists(it.path) {
			return &listError{it.line, fmt.Sprintf("%q is neither a file, nor called like an image, nor a header that is known", it.path)}
		}
	}
	return nil
}

// repetitions tells of images that are listed more than once, "" for none. Each record is an image
// of its own nevertheless.
func repetitions(items []listItem) string {
	first := make(map[string]int, len(items))
	repeated, other, example := 0, 0, ""
	for i, it := range items {
		name := filepath.Clean(filepath.FromSlash(it.path))
		j, known := first[name]
		if !known {
			first[name] = i
			continue
		}
		repeated++
		if it.label != items[j].label {
			other++
		}
		if example == "" {
			example = fmt.Sprintf("%s in lines %d and %d", it.path, items[j].line, it.line)
		}
	}
	switch {
	case repeated == 0:
		return ""
	case other > 0:
		return fmt.Sprintf("images listed again: %d, of them with another label: %d (such as %s)", repeated, other, example)
	}
	return fmt.Sprintf("images listed again: %d (such as %s)", repeated, example)
}

// labelNumeric keeps integer labels as class indices; other labels are numbered in sorted order.
func (s *fileSet) labelNumeric(labels []string) {
	const maxClasses = 1 << 20
	largest := -1
	for _, l := range labels {
		if l == "" {
			continue
		}
		n, err := strconv.Atoi(l)
		if err != nil || n < 0 || n >= maxClasses || strconv.Itoa(n) != l {
			s.label(labels)
			return
		}
		largest = max(largest, n)
	}
	for n := range largest + 1 {
		s.classes = append(s.classes, strconv.Itoa(n))
	}
	for i, l := range labels {
		s.entries[i].class = -1
		if l != "" {
			n, _ := strconv.Atoi(l)
			s.entries[i].class = int32(n)
		}
	}
}

// parseList reads the records of a .txt, .csv or .tsv list. Empty lines and lines that start with #
// are left out, and so is a header. The second result names columns that are not used.
func parseList(r io.Reader, ext string) (items []listItem, ignored []string, err error) {
	text, err := openText(r)
	if err != nil {
		return nil, nil, err
	}
	layout, err := findLayout(text.sample, ext)
	if err != nil {
		return nil, nil, err
	}
	if _, err := text.Discard(layout.before); err != nil {
		return nil, nil, err
	}
	rows := layout.reader(text)
	for {
		row, err := rows.next()
		if err == io.EOF {
			return items, layout.ignored, nil
		}
		if err != nil {
			return nil, nil, err
		}
		it, ok, err := layout.item(row)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			continue
		}
		if p := checkItem(it, text.utf16); p != "" {
			return nil, nil, &listError{it.line, p}
		}
		items = append(items, it)
	}
}

// checkItem returns the fault of a record, "" for none.
func checkItem(it listItem, utf16 bool) string {
	switch {
	case it.path == "":
		return "the path is empty"
	case !utf8.ValidString(it.path) || !utf8.ValidString(it.label):
		return "the line is not UTF-8 text"
	case utf16 && strings.ContainsRune(it.path+it.label, utf8.RuneError):
		return "the line is not UTF-16 text"
	case strings.ContainsAny(it.path+it.label, "\r\n"):
		return "a cell goes on in the next line: a quote is not closed"
	case strings.ContainsRune(it.path, 0):
		return "the path contains a zero byte"
	case strings.Contains(it.path, "://"):
		return fmt.Sprintf("%q is an address, not a file", it.path)
	}
	return ""
}
