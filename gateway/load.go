package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/banyanhq/banyan"
)

// maxFile is how large a configuration may be, in bytes.
const maxFile = 16 << 20

// Load reads a configuration file, and those that it includes, and checks them.
// Its error is a *FileError with everything that is wrong, each with its line.
func Load(name string) (*Config, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("gateway: configuration: %w", err)
	}
	return Parse(name, data)
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %w: it is larger than %d bytes", name, banyan.ErrInvalid, maxFile)
	}
	return os.ReadFile(name)
}

// Parse is Load for a file that is read already. The name is for errors, and for
// finding what it includes.
func Parse(name string, data []byte) (*Config, error) {
	main, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	c := main.config
	s := sources{main: main}
	found := s.include(c)
	found = append(found, c.Check()...)
	if len(found) == 0 {
		c.warnings = s.places(c.Warnings())
		return c, nil
	}
	return nil, &FileError{File: s.main.name, Places: s.places(found)}
}

// parse reads one file.
func parse(name string, data []byte) (*file, error) {
	f := &file{name: name, lines: strings.Split(string(data), "\n"), config: new(Config)}
	var err error
	if f.tree, err = parser.ParseBytes(data, 0); err != nil {
		return nil, f.syntax(err)
	}
	if len(f.tree.Docs) > 1 {
		return nil, f.fail(Place{Line: f.tree.Docs[1].Start.Position.Line, Column: 1, Text: "a second document; put everything into one"})
	}
	if places := misfits(f.tree); len(places) > 0 {
		return nil, f.fail(places...)
	}
	if err := yaml.NewDecoder(strings.NewReader(string(data)), yaml.DisallowUnknownField(), yaml.AllowDuplicateMapKey()).Decode(f.config); err != nil && !isEmpty(f.tree) {
		return nil, f.syntax(err)
	}
	return f, nil
}

func isEmpty(tree *ast.File) bool {
	return len(tree.Docs) == 0 || tree.Docs[0].Body == nil || tree.Docs[0].Body.Type() == ast.NullType
}

// FileError is what is wrong with a configuration file. It is banyan.ErrInvalid.
type FileError struct {
	// File is its name.
	File string
	// Places are in the order of their lines, those of included files behind.
	Places []Place
}

// Place is one thing that is wrong.
type Place struct {
	// File is set if it is not the file itself but one that it includes.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 is unknown.
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
	Source string `json:"source"` // the line
}

// Error implements error: a line for each place, and below it the line of the
// file.
func (e *FileError) Error() string {
	var out strings.Builder
	for i, p := range e.Places {
		if i > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(cmp.Or(p.File, e.File))
		if p.Line > 0 {
			fmt.Fprintf(&out, ":%d:%d", p.Line, p.Column)
		}
		fmt.Fprintf(&out, ": %s", p.Text)
		if p.Source != "" {
			number := fmt.Sprintf("%5d | ", p.Line)
			fmt.Fprintf(&out, "\n%s%s\n%s^", number, p.Source, strings.Repeat(" ", len(number)+min(p.Column-1, len(p.Source))))
		}
	}
	return out.String()
}

// Is makes a FileError banyan.ErrInvalid.
func (e *FileError) Is(target error) bool { return target == banyan.ErrInvalid } //nolint:errorlint // that is what Is is for

// file is a configuration for errors.
type file struct {
	name   string
	lines  []string
	tree   *ast.File
	config *Config
}

func (f *file) fail(places ...Place) error {
	f.show(places)
	return &FileError{File: f.name, Places: places}
}

// show adds the lines to places.
func (f *file) show(places []Place) {
	for i := range places {
		if n := places[i].Line; n > 0 && n <= len(f.lines) {
			places[i].Source = printable(secret.ReplaceAllString(strings.TrimRight(f.lines[n-1], "\r"), "${1}${2}${3}…"))
			places[i].Column = max(places[i].Column, 1)
		}
		places[i].Text = printable(places[i].Text)
	}
}

// printable keeps what a file holds from steering a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// secret finds what must not be shown of a line: values of keys that sound like
// secrets, user information of a URL, and what may be some where the @ is
// forgotten: what follows a colon and is no port.
var secret = regexp.MustCompile(`(?i)((?:password|secret|token|key)\s*:\s*)[^\s@/]+(?:@|$)|(://)[^\s@/]+@|(://)[^\s@/:]*:[^\s@/]*[^\s@/\d"'\]},][^\s@/]*$`)

// syntax turns an error of the YAML library into one with a place.
func (f *file) syntax(err error) error {
	var at yaml.Error
	if !errors.As(err, &at) {
		return f.fail(Place{Text: err.Error()})
	}
	p := Place{Text: inPlainWords(err, at.GetMessage())}
	if t := at.GetToken(); t != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	return f.fail(p)
}

// inPlainWords says in other words what the YAML library says in those of programmers.
func inPlainWords(err error, message string) string {
	var typed *yaml.TypeError
	switch {
	case errors.As(err, &typed):
		return "want " + shapeOf(typed.DstType)
	case strings.Contains(message, "'\t'") || strings.Contains(message, "character '\t'"):
		return "a tab; lines are indented with spaces only"
	case strings.HasPrefix(message, "mapping value is not allowed"):
		return `a ": " where none can be: the next line is indented too far, or a text needs quotes`
	}
	return message
}

// place finds the line of a mistake: that of its path, or of the nearest path
// above it.
func (f *file) place(m Mistake) Place {
	for path := m.Path; path != ""; path = above(path) {
		if t := locate(f.tree, path); t != nil {
			return Place{Line: t.Position.Line, Column: t.Position.Column, Text: m.Text}
		}
	}
	return Place{Text: m.Text}
}

// above cuts the last part of a path.
func above(path string) string {
	if i := strings.LastIndexAny(path, ".["); i > 0 {
		return path[:i]
	}
	return ""
}

func locate(tree *ast.File, path string) *token.Token {
	p, err := yaml.PathString(path)
	if err != nil {
		return nil
	}
	node, err := p.FilterFile(tree)
	if err != nil || node == nil {
		return nil
	}
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken()
	}
	return node.GetToken()
}

// UnmarshalYAML lets one URL stand for an upstream.
func (u *Upstream) UnmarshalYAML(decode func(any) error) error {
	var url string
	if decode(&url) == nil {
		*u = Upstream{Targets: []string{url}}
		return nil
	}
	type plain Upstream
	return decode((*plain)(u))
}
