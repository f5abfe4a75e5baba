package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/banyanhq/banyan"
)

// format is how a command writes its data.
type format struct {
	json bool
	full bool
}

func (f *format) flags(set *pflag.FlagSet) {
	set.BoolVar(&f.json, "json", false, "print one CloudEvent (JSON) per line")
	set.BoolVar(&f.full, "full", false, "do not shorten the data in the table")
}

// printer writes events, each as soon as it is there.
type printer struct {
	env    *env
	format format
	lines  int
}

func newPrinter(e *env, f format) *printer { return &printer{env: e, format: f} }

func (p *printer) event(e banyan.Event) error {
	if p.format.json {
		line, err := e.CloudEvent()
		if err != nil {
			return err
		}
		if bytes.ContainsRune(line, '\n') { // data is kept as it was written, with its line breaks
			line = []byte(compact(line))
		}
		_, err = fmt.Fprintf(p.env.stdout, "%s\n", line)
		return err
	}
	if p.lines++; p.lines == 1 {
		if _, err := fmt.Fprintf(p.env.stdout, row, "POSITION", "TIME", "STREAM", "TYPE", "DATA"); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(p.env.stdout, row, fmt.Sprint(e.Position), moment(e.Time), fmt.Sprintf("%s@%d", printable(e.Stream), e.Revision), printable(e.Type), p.data(e))
	return err
}

// row has columns of fixed width, because a log that is followed has no last line
// to wait for.
const row = "%8s  %-20s  %-24s  %-24s  %s\n"

const dataWidth = 100

func (p *printer) data(e banyan.Event) string {
	if !utf8.Valid(e.Data) {
		return fmt.Sprintf("(%d bytes of %s)", len(e.Data), printable(e.ContentType))
	}
	text := string(e.Data)
	if e.ContentType == "" {
		text = compact(e.Data)
	}
	if text = printable(text); p.format.full {
		return text
	}
	return shorten(text)
}

func shorten(text string) string {
	if short := []rune(text); len(short) > dataWidth {
		return string(short[:dataWidth-1]) + "…"
	}
	return text
}

func compact(data []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, data) != nil {
		return string(data)
	}
	return b.String()
}

// printable replaces control characters: stored text must not move the cursor of
// a terminal or recolour it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return '·'
		}
		return r
	}, text)
}

// moment has seconds when that is all there is, and what there is otherwise.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
