package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// op is what happens to a member of an object.
type op uint8

const (
	opRemove op = iota
	opSelect
	opSet
	opRename
)

// path is a compiled rule for JSON.
type path struct {
	segments []string
	op       op
	text     string // the value of opSet, compact; the name of opRename
}

const (
	anyName  = "*"
	anyDepth = "**"
)

// editor edits JSON bodies by its rules.
type editor struct {
	paths    []path
	selects  bool
	maxBytes int64
	passes   bool // what cannot be edited
}

// compile reads the paths.
func (j *JSON) compile() (*editor, error) {
	e := &editor{selects: len(j.Select) > 0, maxBytes: j.MaxBytes, passes: j.Otherwise == "pass"}
	if e.maxBytes == 0 {
		e.maxBytes = defaultMaxBytes
	}
	if j.Otherwise == "" {
		e.passes = len(j.Remove)+len(j.Select)+len(j.Set) == 0
	}
	var errs []error
	add := func(rule, text string, o op, value string) {
		segments, err := parsePath(text, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q %w", rule, text, err))
		}
		e.paths = append(e.paths, path{segments, o, value})
	}
	for _, text := range j.Remove {
		add("remove", text, opRemove, "")
	}
	for _, text := range j.Select {
		add("select", text, opSelect, "")
	}
	for _, text := range slices.Sorted(maps.Keys(j.Set)) {
		var value bytes.Buffer
		_ = json.Compact(&value, []byte(j.Set[text])) // check says what is none
		add("set", text, opSet, value.String())
	}
	for _, text := range slices.Sorted(maps.Keys(j.Rename)) {
		if !utf8.ValidString(j.Rename[text]) {
			errs = append(errs, fmt.Errorf("rename: the new name of %q is not UTF-8", text))
		}
		add("rename", text, opRename, j.Rename[text])
	}
	return e, errors.Join(errs...)
}

// withoutSelect is for answers that are not of the kind that is selected from.
func (e *editor) withoutSelect() *editor {
	other := *e
	other.selects = false
	return &other
}

// parsePath reads a JSON pointer (RFC 6901) with wildcards.
func parsePath(text string, o op) ([]string, error) {
	if !strings.HasPrefix(text, "/") || !utf8.ValidString(text) {
		return nil, errors.New("is not a path such as /customer/name")
	}
	segments := strings.Split(text[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == anyDepth && (last || o == opSet || o == opRename):
			return nil, errors.New("has a ** that is the last segment, or that of set or rename")
		case s == anyName && last && o == opSet:
			return nil, errors.New("has a * that names nothing to set")
		case strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(s), "~"):
			return nil, errors.New("has a ~ that is not ~0 or ~1")
		}
		segments[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
	}
	return segments, nil
}

// place is how far a path has come.
type place struct {
	*path
	at int // segments that were matched
}

// last reports whether the next segment is the last one.
func (p place) last() bool { return p.at == len(p.segments)-1 }

func (p place) matches(name string) bool {
	s := p.segments[p.at]
	switch {
	case s == anyName:
		return true
	case p.op == opRemove || p.op == opSet:
		return strings.EqualFold(s, name)
	}
	return s == name
}

// hits are the rules that meet a member.
type hits struct {
	removed, selected bool
	set, rename       *path
}

// step goes into the member of a name.
func step(from []place, name string) (to []place, h hits) {
	for _, p := range from {
		for p.segments[p.at] == anyDepth {
			to = with(to, p)
			p.at++
		}
		switch {
		case !p.matches(name):
		case !p.last():
			p.at++
			to = with(to, p)
		case p.op == opRemove:
			h.removed = true
		case p.op == opSelect:
			h.selected = true
		case p.op == opSet:
			h.set = p.path
		default:
			h.rename = p.path
		}
	}
	return to, h
}

func with(list []place, p place) []place {
	if slices.Contains(list, p) {
		return list
	}
	return append(list, p)
}

// selecting reports whether something further down can be selected.
func selecting(list []place) bool {
	return slices.ContainsFunc(list, func(p place) bool { return p.op == opSelect })
}
