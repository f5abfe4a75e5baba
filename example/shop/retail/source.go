package retail

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxRecord is the most bytes one record may have. It bounds what a quote that is
// never closed can take into memory.
const maxRecord = 1 << 20

// source hands the text of a file, unpacked and without a byte order mark, to the
// CSV reader: at most one line per Read, so that the two always stand on the same
// line and an error of either has an exact place.
type source struct {
	in     *bufio.Reader
	gzip   bool
	line   []byte // the current line, with its end
	rest   []byte // what of it was not handed out yet
	number int    // of the current line, from 1
	start  int    // line on which the current record starts
	size   int    // bytes of the current record so far
	damage *DamagedError
}

func newSource(name string, r io.Reader) (*source, *DamagedError) {
	in := newBuffer(r)
	magic, err := in.Peek(2)
	switch {
	case len(magic) == 0 && err == io.EOF:
		return nil, &DamagedError{Line: 1, Reason: "the file is empty: its first line has to name the columns"}
	case len(magic) == 0:
		return nil, readDamage(1, err, false)
	case bytes.Equal(magic, []byte{0x1f, 0x8b}):
		unpacked, err := gzip.NewReader(in)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, readDamage(1, err, true)
		}
		return &source{in: newBuffer(unpacked), gzip: true}, nil
	case strings.HasSuffix(strings.ToLower(name), ".gz"):
		return nil, &DamagedError{
			Line: 1, Err: gzip.ErrHeader,
			Reason: "not gzip although its name ends in .gz: rename it if it is plain CSV",
		}
	}
	return &source{in: in}, nil
}

func newBuffer(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 64<<10) }

// beginRecord starts the count of a record's bytes.
func (s *source) beginRecord() { s.start, s.size = 0, 0 }

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.damage != nil {
		return 0, s.damage
	}
	if len(s.rest) == 0 {
		more, damage := s.next()
		if damage != nil {
			s.damage = damage
			return 0, damage
		}
		if !more {
			return 0, io.EOF
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// next takes the next line, or reports the end of the file or its damage. A line
// that cannot be read whole is not handed out at all.
func (s *source) next() (more bool, _ *DamagedError) {
	s.line = s.line[:0]
	s.number++
	var err error
	for {
		var part []byte
		part, err = s.in.ReadSlice('\n')
		s.line = append(s.line, part...)
		if err != bufio.ErrBufferFull || s.size+len(s.line) > maxRecord {
			break
		}
	}
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return false, readDamage(s.number, err, s.gzip)
	}
	if len(s.line) == 0 {
		return false, nil
	}
	if damage := s.check(); damage != nil {
		return false, damage
	}
	s.rest = s.line
	if s.number == 1 {
		s.rest = bytes.TrimPrefix(s.line, []byte("\uFEFF"))
		return len(s.rest) > 0, nil
	}
	return true, nil
}

// check finds what no CSV text can hold, and records without an end.
func (s *source) check() *DamagedError {
	if s.number == 1 && (bytes.HasPrefix(s.line, []byte("\xff\xfe")) || bytes.HasPrefix(s.line, []byte("\xfe\xff"))) {
		return &DamagedError{Line: 1, Reason: "UTF-16 text: save the file as UTF-8"}
	}
	if i := bytes.IndexByte(s.line, 0); i >= 0 {
		return &DamagedError{Line: s.number, Reason: fmt.Sprintf("binary data (byte %d of the line is NUL): not a CSV file", i+1)}
	}
	blank := string(s.line) == "\n" || string(s.line) == "\r\n"
	if s.size > 0 || !blank { // blank lines before a record are not part of it
		s.size += len(s.line)
	}
	if s.size == len(s.line) {
		s.start = s.number
	}
	if s.size > maxRecord {
		return &DamagedError{
			Line:   s.start,
			Reason: fmt.Sprintf("bad quoting: the row is longer than %d bytes: a quote in it is probably never closed", maxRecord),
		}
	}
	if !utf8.Valid(s.line) {
		return &DamagedError{
			Line:   s.number,
			Reason: fmt.Sprintf("binary data or invalid UTF-8 at byte %d of the line: save text in another encoding as UTF-8", invalidAt(s.line)),
		}
	}
	return nil
}

// invalidAt returns the place of the first byte that is not UTF-8, from 1.
func invalidAt(line []byte) int {
	at := 0
	for at < len(line) {
		r, size := utf8.DecodeRune(line[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at + 1
}

// altered reads a gzip file to its end, behind damage found in its text, and
// returns an error if its bytes are not those that were compressed: then the
// damage is a consequence, and rows before it may be wrong without a sign.
func (s *source) altered() error {
	if s == nil || !s.gzip {
		return nil
	}
	if _, err := io.Copy(io.Discard, s.in); isAltered(err) {
		return err
	}
	return nil
}
