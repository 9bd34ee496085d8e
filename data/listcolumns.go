package data

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// listLayout is the meaning of the columns of a list.
type listLayout struct {
	separator   rune // 0: lines with a path and an optional label behind it
	before      int  // bytes in front of the first record, a directive of Excel
	path, label int  // columns; label is -1 where there is none
	width       int  // cells that a record has at most
	header      []string
	ignored     []string // names of the columns that are not used
	// extensions reports that most paths are called like images, so that one that is not needs a
	// second look.
	extensions bool
}

// reader returns the records of the list.
func (l *listLayout) reader(r io.Reader) listReader {
	if l.separator == 0 {
		return newLineReader(r)
	}
	return newTableReader(r, l.separator, min(l.before, 1))
}

// findLayout finds the columns of a list by its first lines. ext, the extension of the file,
// decides only where the content does not.
func findLayout(sample []byte, ext string) (*listLayout, error) {
	if m := separatorLine.FindSubmatch(sample); m != nil {
		return tableLayout(sample, rune(m[1][0]), len(m[0]))
	}
	if ext == ".txt" {
		return textLayout(sample)
	}
	native := ','
	if ext == ".tsv" {
		native = '\t'
	}
	// The right separator is the one that lays a column of images open.
	best, found := 0, []rune(nil)
	for _, s := range separators {
		score := sampleRows(newTableReader(bytes.NewReader(sample), s, 0)).score()
		if score > best {
			best, found = score, nil
		}
		if score == best {
			found = append(found, s)
		}
	}
	switch {
	case best == 0 || best == singleColumn:
		return tableLayout(sample, native, 0)
	case len(found) > 1:
		return nil, &listError{1, fmt.Sprintf("the cells may be separated by %q or %q", found[0], found[1])}
	}
	return tableLayout(sample, found[0], 0)
}

// textLayout is that of a text file: a table where there is a header or a tab, and otherwise lines.
func textLayout(sample []byte) (*listLayout, error) {
	for _, s := range separators {
		rows := sampleRows(newTableReader(bytes.NewReader(sample), s, 0))
		if rows.headed() && len(rows.rows[0].cells) > 1 {
			return tableLayout(sample, s, 0)
		}
	}
	if line, _, _ := bytes.Cut(sample, []byte("\n")); bytes.ContainsRune(line, '\t') {
		return tableLayout(sample, '\t', 0)
	}
	rows := sampleRows(newLineReader(bytes.NewReader(sample)))
	if rows.headed() && !isOneOf(pathWords)(rows.headerCells()[0]) {
		return nil, &listError{1, fmt.Sprintf("%q puts the path last, and it may contain spaces; separate the columns by tabs", rows.rows[0].cells[0])}
	}
	return rows.layout()
}

func tableLayout(sample []byte, separator rune, before int) (*listLayout, error) {
	l, err := sampleRows(newTableReader(bytes.NewReader(sample[before:]), separator, min(before, 1))).layout()
	if err == nil {
		l.separator, l.before = separator, before
	}
	return l, err
}

// listSample is the beginning of a list.
type listSample struct {
	rows   []listRow
	images []int // by column, cells that are called like images; the first record does not count where there are others
	width  int   // cells of most records
}

// maxSample bounds the records that are looked at.
const maxSample = 1000

// sampleRows reads the first records. An error ends them: reading the whole list finds it again.
func sampleRows(r listReader) *listSample {
	s := &listSample{}
	widths := map[int]int{}
	for len(s.rows) < maxSample {
		row, err := r.next()
		if err != nil {
			break
		}
		if emptyRow(row.cells) {
			continue
		}
		row.cells = slices.Clone(row.cells)
		s.rows = append(s.rows, row)
		n := len(row.cells)
		if widths[n]++; widths[n] > widths[s.width] || widths[n] == widths[s.width] && n < s.width {
			s.width = n
		}
	}
	data := s.rows
	if len(data) > 1 {
		data = data[1:]
	}
	for _, row := range data {
		for c, cell := range row.cells {
			for len(s.images) <= c {
				s.images = append(s.images, 0)
			}
			if HasImageExtension(cell) {
				s.images[c]++
			}
		}
	}
	for c := range s.images {
		s.images[c] = 2 * s.images[c] / len(data) // 0: less than half of them
	}
	return s
}

func emptyRow(cells []string) bool {
	return !slices.ContainsFunc(cells, func(c string) bool { return c != "" })
}

// imageColumns are those in which at least half of the cells are called like images.
func (s *listSample) imageColumns() []int {
	var columns []int
	for c, n := range s.images {
		if n > 0 {
			columns = append(columns, c)
		}
	}
	return columns
}

// Scores of a separator.
const (
	severalColumns = 1 + iota // but none of them holds images
	singleColumn              // of images
	imageTable
)

func (s *listSample) score() int {
	images := len(s.imageColumns()) > 0 || s.headed()
	switch {
	case images && s.width > 1:
		return imageTable
	case images:
		return singleColumn
	case s.width > 1:
		return severalColumns
	}
	return 0
}

// Words of headers, in lower case without anything but letters and digits.
var (
	pathWords = []string{"path", "paths", "file", "files", "filename", "filenames", "filepath", "filepaths", "fname", "fpath",
		"image", "images", "img", "imgs", "imagepath", "imagepaths", "imgpath", "imagefile", "imgfile", "imagefilename", "imagefilepath",
		"imagename", "imgname", "imageid", "imgid", "picture", "pictures", "photo", "photos", "pic", "relpath", "relativepath",
		"fullpath", "abspath"}
	labelWords = []string{"label", "labels", "class", "classes", "target", "targets", "category", "categories", "classname", "classid",
		"classlabel", "classindex", "classidx", "labelname", "labelid", "labelindex", "labelidx", "categoryname", "categoryid",
		"targetname", "species", "y"}
	indexWords = []string{"index", "idx", "id", "no", "nr", "row", "rowid", "number"}
	otherWords = []string{"split", "splits", "set", "subset", "fold", "partition", "usage", "width", "height", "size", "filesize", "bytes", "channels",
		"xmin", "ymin", "xmax", "ymax", "bbox", "text", "caption", "captions", "description", "prompt", "url", "license", "date", "time",
		"timestamp", "md5", "sha1", "sha256", "hash", "checksum"}
	unnamed = regexp.MustCompile(`^unnamed[0-9]*$`)
)

// word is a cell as it stands in the lists of words.
func word(cell string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, cell)
}

func isOneOf(words []string) func(cell string) bool {
	return func(cell string) bool { return slices.Contains(words, word(cell)) }
}

// headed reports whether the first record names the columns: nothing in it is called like an image
// or lies in a folder, and one cell is a word for an image's path, or for its label beside a column
// of images.
func (s *listSample) headed() bool {
	if len(s.rows) == 0 {
		return false
	}
	cells := s.headerCells()
	if slices.ContainsFunc(cells, func(c string) bool { return HasImageExtension(c) || strings.ContainsAny(c, `/\`) }) {
		return false
	}
	return slices.ContainsFunc(cells, isOneOf(pathWords)) ||
		len(cells) > 1 && len(s.imageColumns()) > 0 && slices.ContainsFunc(cells, isOneOf(labelWords))
}

// headerCells are those of the first record, or the words of its only cell where all of them are
// those of headers.
func (s *listSample) headerCells() []string {
	cells := s.rows[0].cells
	if len(cells) > 1 {
		return cells
	}
	words := strings.Fields(cells[0])
	for _, w := range words {
		if !isOneOf(pathWords)(w) && !isOneOf(labelWords)(w) {
			return cells
		}
	}
	return words
}

// layout finds the columns, or returns an error that names the reason for doubt.
func (s *listSample) layout() (*listLayout, error) {
	l := &listLayout{label: -1, width: max(s.width, 1)}
	if len(s.rows) == 0 {
		return l, nil
	}
	unsure := func(format string, args ...any) error {
		return &listError{s.rows[0].line, fmt.Sprintf(format, args...)}
	}
	names := make([]string, l.width)
	if s.headed() {
		l.header = s.rows[0].cells
		words := s.headerCells()
		l.width = max(l.width, len(words))
		names = append(slices.Clone(words), make([]string, l.width-len(words))...)
	}
	l.extensions = len(s.imageColumns()) > 0
	paths := s.pathColumns(l, names)
	if len(paths) > 1 {
		return nil, unsure("columns %s may hold the paths of the images; keep one of them", columnNames(names, paths))
	}
	if len(paths) == 0 {
		return nil, unsure("%d columns, and none of them holds names of images such as a.jpg", l.width)
	}
	l.path = paths[0]
	return l, s.findLabel(l, names, unsure)
}

// pathColumns are those that may hold the paths: one, where that is sure.
func (s *listSample) pathColumns(l *listLayout, names []string) []int {
	images := s.imageColumns()
	if l.header == nil {
		if len(images) == 0 && l.width <= 2 {
			return []int{0}
		}
		return images
	}
	var named, both []int
	for c, name := range names {
		if isOneOf(pathWords)(name) {
			named = append(named, c)
			if slices.Contains(images, c) {
				both = append(both, c)
			}
		}
	}
	switch {
	case len(both) > 0 && len(images) > 1:
		return both
	case len(both) == 0: // words and contents disagree, or one of them is silent
		return append(named, images...)
	}
	return images
}

// findLabel sets the column of the labels.
func (s *listSample) findLabel(l *listLayout, names []string, unsure func(string, ...any) error) error {
	rest := l.otherColumns(names)
	if l.header == nil && l.path == 1 && s.running(0) {
		if l.width == 2 && len(s.rows) < 3 {
			return unsure("column 1 may be a label or count the lines")
		}
		rest = rest[1:]
	}
	candidates := rest
	if l.header != nil {
		candidates = columnsWith(rest, names, func(name string) bool { return !isOneOf(otherWords)(name) })
	}
	labels := candidates
	if l.header != nil && len(candidates) > 1 {
		labels = columnsWith(candidates, names, isOneOf(labelWords))
	}
	switch {
	case len(candidates) == 0:
	case len(labels) == 1:
		l.label = labels[0]
	case l.header == nil:
		return unsure("%d columns, and no header says which holds the label", l.width)
	case len(labels) == 0:
		return unsure("columns %s may hold the label; keep one of them, or call it label", columnNames(names, candidates))
	default:
		return unsure("columns %s may hold the label; keep one of them", columnNames(names, labels))
	}
	for _, c := range rest {
		if c != l.label {
			l.ignored = append(l.ignored, names[c])
		}
	}
	return nil
}

// columnsWith are the columns whose names ok accepts.
func columnsWith(columns []int, names []string, ok func(name string) bool) []int {
	return slices.DeleteFunc(slices.Clone(columns), func(c int) bool { return !ok(names[c]) })
}

// otherColumns are those that hold neither the path nor, by their header, an index.
func (l *listLayout) otherColumns(names []string) (rest []int) {
	for c := range l.width {
		name := word(names[c])
		index := l.header != nil && (unnamed.MatchString(name) || c == 0 && (name == "" || slices.Contains(indexWords, name)))
		if c != l.path && !index {
			rest = append(rest, c)
		}
	}
	return rest
}

// running reports whether a column counts the records from 0 or 1 on.
func (s *listSample) running(column int) bool {
	first := -1
	for i, row := range s.rows {
		n, err := strconv.Atoi(row.cells[column])
		if i == 0 {
			first = n
		}
		if err != nil || first != 0 && first != 1 || n != first+i {
			return false
		}
	}
	return true
}

func columnNames(names []string, columns []int) string {
	var parts []string
	for _, c := range columns {
		if name := names[c]; name != "" {
			parts = append(parts, name)
		} else {
			parts = append(parts, strconv.Itoa(c+1))
		}
	}
	return strings.Join(parts, ", ")
}

// item reads a record; ok is false for an empty one and for a repeated header.
func (l *listLayout) item(row listRow) (it listItem, ok bool, err error) {
	if emptyRow(row.cells) || l.header != nil && slices.Equal(row.cells, l.header) {
		return it, false, nil
	}
	if most := max(l.width, min(2, l.width+1)); len(row.cells) > most {
		return it, false, &listError{row.line, fmt.Sprintf("%d columns, more than %s", len(row.cells), columnCount(most))}
	}
	it.line = row.line
	if l.path < len(row.cells) {
		it.path = row.cells[l.path]
	}
	label := l.label
	if label < 0 && l.width == 1 { // some lines have a label although most have none
		label = 1
	}
	if label >= 0 && label < len(row.cells) {
		it.label = row.cells[label]
	}
	if isMissing(it.label) {
		it.label = ""
	}
	it.doubtful = l.extensions && !HasImageExtension(it.path)
	return it, true, nil
}

// isMissing recognizes the words that pandas and spreadsheets write into a cell without a value.
func isMissing(cell string) bool {
	return strings.EqualFold(cell, "NaN") || cell == "<NA>" || cell == "#N/A"
}

func columnCount(n int) string {
	if n == 2 {
		return "two columns"
	}
	return fmt.Sprintf("%d columns", n)
}
