package data

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// listItem is one line of a list file.
type listItem struct {
	path, label string
	line        int
}

// openList reads a list of image files. Their order is the order of the
// lines; relative paths start at the folder of the list.
func openList(o Options) (Source, error) {
	f, err := os.Open(o.Path)
	if err != nil {
		return nil, pathError(o.Path, err)
	}
	defer f.Close()
	items, err := parseList(f, strings.ToLower(filepath.Ext(o.Path)))
	var bad *listError
	switch {
	case errors.As(err, &bad):
		return nil, problem(fmt.Sprintf("%s:%d", o.Path, bad.line), "one image per line: a path, optionally followed by a tab or comma and a label", "%s", bad.problem)
	case err != nil:
		return nil, pathError(o.Path, err)
	case len(items) == 0:
		return nil, problem(o.Path, "write one image path per line", "lists no images")
	}
	base := filepath.Dir(o.Path)
	s := &fileSet{options: o, entries: make([]entry, len(items))}
	lines := make([]int, len(items))
	labels := make([]string, len(items))
	for i, it := range items {
		s.entries[i].name, lines[i], labels[i] = it.path, it.line, it.label
	}
	s.labelNumeric(labels)
	s.where = func(id int) string {
		p := filepath.FromSlash(s.entries[id].name)
		if filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(base, p)
	}
	s.listed = func(id int) string { return fmt.Sprintf("it stands in line %d of %s", lines[id], o.Path) }
	s.read = func(id int, buf []byte) ([]byte, error) { return readFile(s.where(id), buf) }
	s.size = func(id int) (int64, error) { return statSize(s.where(id)) }
	return s, nil
}

// labelNumeric keeps integer labels as class indices; other labels are
// numbered in sorted order.
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

type listError struct {
	line    int
	problem string
}

func (e *listError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.problem) }

// parseList reads the lines of a .txt, .csv or .tsv list. Empty lines and
// lines that start with # are left out, and so is a first line whose path
// column is named path, file, filename or image.
func parseList(r io.Reader, ext string) ([]listItem, error) {
	var (
		items []listItem
		err   error
	)
	if ext == ".csv" {
		items, err = parseCSV(r)
	} else {
		items, err = parseLines(r)
	}
	if err != nil {
		return nil, err
	}
	if len(items) > 0 && slices.Contains([]string{"path", "file", "filename", "image"}, strings.ToLower(items[0].path)) {
		items = items[1:]
	}
	for _, it := range items {
		if p := checkItem(it); p != "" {
			return nil, &listError{it.line, p}
		}
	}
	return items, nil
}

func checkItem(it listItem) string {
	switch {
	case it.path == "":
		return "the path is empty"
	case !utf8.ValidString(it.path) || !utf8.ValidString(it.label):
		return "the line is not UTF-8 text"
	case strings.ContainsRune(it.path, 0):
		return "the path contains a zero byte"
	case strings.Contains(it.path, "://"):
		return fmt.Sprintf("%q is an address, not a file", it.path)
	}
	return ""
}

func parseCSV(r io.Reader) ([]listItem, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord = -1
	c.Comment = '#'
	c.ReuseRecord = true
	var items []listItem
	for {
		row, err := c.Read()
		if err == io.EOF {
			return items, nil
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			return nil, &listError{syntax.Line, syntax.Err.Error()}
		}
		if err != nil {
			return nil, err
		}
		line, _ := c.FieldPos(0)
		if len(row) > 2 {
			return nil, &listError{line, fmt.Sprintf("%d columns; a path and a label are expected", len(row))}
		}
		it := listItem{path: strings.TrimSpace(row[0]), line: line}
		if len(row) == 2 {
			it.label = strings.TrimSpace(row[1])
		}
		items = append(items, it)
	}
}

// maxLine bounds a line of a list; the longest path systems allow is 4096.
const maxLine = 64 << 10

func parseLines(r io.Reader) ([]listItem, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), maxLine)
	var items []listItem
	line := 0
	for sc.Scan() {
		line++
		text := strings.TrimSpace(strings.TrimPrefix(sc.Text(), "\ufeff"))
		if text == "" || text[0] == '#' {
			continue
		}
		it := listItem{path: text, line: line}
		if p, l, ok := strings.Cut(text, "\t"); ok {
			if strings.Contains(l, "\t") {
				return nil, &listError{line, "more than two columns"}
			}
			it.path, it.label = strings.TrimSpace(p), strings.TrimSpace(l)
		} else if i := strings.LastIndexAny(text, " ,"); i > 0 && HasImageExtension(strings.TrimSpace(text[:i])) {
			// "a.jpg 3" and "a.jpg,cat", but "my cat.jpg" is one path.
			it.path, it.label = strings.TrimSpace(text[:i]), strings.TrimSpace(text[i+1:])
		}
		items = append(items, it)
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, &listError{line + 1, fmt.Sprintf("longer than %d bytes", maxLine)}
	} else if err != nil {
		return nil, err
	}
	return items, nil
}
