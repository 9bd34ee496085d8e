package data

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// listRow is one record of a list: its cells, without surrounding space, and the line it begins in.
// The cells are valid until the next record is read.
type listRow struct {
	cells []string
	line  int
}

// listReader yields the records of a list, io.EOF after the last one.
type listReader interface{ next() (listRow, error) }

type listError struct {
	line    int
	problem string
}

func (e *listError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.problem) }

// sampleBytes is how much of a list decides about its separator and columns.
const sampleBytes = 256 << 10

// listText is the text of a list as UTF-8 with \n as the end of lines.
type listText struct {
	*bufio.Reader
	sample []byte // the first whole lines
	utf16  bool
}

// openText decodes UTF-8 and UTF-16, both with and without a byte order mark, and accepts the line
// ends of all systems.
func openText(r io.Reader) (*listText, error) {
	raw := bufio.NewReader(r)
	head, err := raw.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	t := &listText{}
	var decoder transform.Transformer
	decoder, t.utf16 = textDecoder(head)
	if err := t.open(transform.NewReader(raw, decoder)); err != nil {
		return nil, err
	}
	if bytes.IndexByte(t.sample, '\n') < 0 && bytes.IndexByte(t.sample, '\r') >= 0 {
		if err := t.open(&carriageReturns{t.Reader}); err != nil {
			return nil, err
		}
	}
	if end := bytes.LastIndexByte(t.sample, '\n'); end >= 0 && len(t.sample) == sampleBytes {
		t.sample = t.sample[:end+1]
	}
	t.sample = bytes.Clone(t.sample)
	return t, nil
}

// open reads the sample of r.
func (t *listText) open(r io.Reader) (err error) {
	t.Reader = bufio.NewReaderSize(r, sampleBytes)
	if t.sample, err = t.Peek(sampleBytes); err == io.EOF {
		err = nil
	}
	return err
}

// textDecoder returns the decoder of a text by its first 4 bytes. Without a byte order mark the
// zero bytes of two characters of ASCII tell UTF-16.
func textDecoder(head []byte) (t transform.Transformer, utf16 bool) {
	zero := func(i int) bool { return head[i] == 0 }
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return unicode.BOMOverride(transform.Nop), true
	case len(head) < 4 || zero(0) == zero(1) || zero(2) == zero(3) || zero(0) != zero(2):
		return unicode.BOMOverride(transform.Nop), false
	case zero(0):
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder(), true
	}
	return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder(), true
}

// carriageReturns turns \r, the line end of older Macintosh programs, into \n.
type carriageReturns struct{ r io.Reader }

func (c *carriageReturns) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i, b := range p[:n] {
		if b == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// separatorLine is the directive by which Excel learns the separator.
var separatorLine = regexp.MustCompile(`^(?i:"?sep=([,;|\t])"?)\r?\n`)

// separators are those of tables, the usual one first.
var separators = []rune{',', ';', '\t', '|'}

// tableReader reads records of separated cells.
type tableReader struct {
	csv    *csv.Reader
	before int // lines in front of the first record
}

// newTableReader reads cells with quotes as spreadsheets and pandas write them. In tables with tabs
// a quote inside a cell is an ordinary character.
func newTableReader(r io.Reader, separator rune, before int) *tableReader {
	c := csv.NewReader(r)
	c.Comma, c.Comment = separator, '#'
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	c.LazyQuotes, c.TrimLeadingSpace = separator == '\t', separator != '\t'
	return &tableReader{c, before}
}

func (t *tableReader) next() (listRow, error) {
	cells, err := t.csv.Read()
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		return listRow{}, &listError{syntax.StartLine + t.before, syntax.Err.Error()}
	}
	if err != nil {
		return listRow{}, err
	}
	line, _ := t.csv.FieldPos(0)
	return listRow{tidy(cells), line + t.before}, nil
}

// tidy removes space around cells, byte order marks of joined files, and empty cells at the end.
func tidy(cells []string) []string {
	for i, c := range cells {
		cells[i] = strings.TrimSpace(strings.TrimPrefix(c, "\ufeff"))
	}
	for len(cells) > 1 && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1]
	}
	return cells
}

// maxLine bounds a line of a list; the longest path systems allow is 4096.
const maxLine = 64 << 10

// lineReader reads one path a line, with an optional label behind the last separator. Paths may
// contain separators.
type lineReader struct {
	scanner *bufio.Scanner
	line    int
}

func newLineReader(r io.Reader) *lineReader {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), maxLine)
	return &lineReader{scanner: sc}
}

func (l *lineReader) next() (listRow, error) {
	for l.scanner.Scan() {
		l.line++
		text := strings.TrimSpace(strings.TrimPrefix(l.scanner.Text(), "\ufeff"))
		if text != "" && text[0] != '#' {
			return listRow{splitLine(text), l.line}, nil
		}
	}
	if err := l.scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
		return listRow{}, &listError{l.line + 1, fmt.Sprintf("longer than %d bytes", maxLine)}
	} else if err != nil {
		return listRow{}, err
	}
	return listRow{}, io.EOF
}

// splitLine cuts a line at its tabs, behind a quoted path, or in front of its last word where the
// rest is called like an image: "a.jpg 3" and "a.jpg,cat", but "my cat.jpg" is one path.
func splitLine(text string) []string {
	if strings.Contains(text, "\t") {
		return tidy(strings.Split(text, "\t"))
	}
	if text[0] == '"' {
		if end := strings.IndexByte(text[1:], '"'); end > 0 {
			return tidy([]string{text[1 : 1+end], strings.Trim(text[end+2:], " ,;|\"")})
		}
	}
	if i := strings.LastIndexAny(text, " ,;|"); i > 0 && HasImageExtension(strings.TrimSpace(text[:i])) {
		return tidy([]string{text[:i], text[i+1:]})
	}
	return []string{text}
}
