package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// sources are the files of a configuration, and where its parts come from.
type sources struct {
	main     *file
	included []*file
	routes   []origin         // of each route of the whole
	named    map[string]*file // "$.upstreams.NAME" and "$.credentials.NAME" of included files
}

// origin is a route in its file.
type origin struct {
	file  *file
	index int
}

// include adds the files that a configuration names to it.
func (s *sources) include(c *Config) (found mistakes) {
	s.named = map[string]*file{}
	s.from(s.main, len(c.Routes))
	c.file = s.main.name
	seen := map[string]bool{filepath.Clean(c.file): true}
	for i, pattern := range c.Include {
		path := fmt.Sprintf("$.include[%d]", i)
		names := c.matching(pattern)
		if len(names) == 0 {
			found.add(path, "no file matches %q", pattern)
		}
		for _, name := range names {
			if !seen[name] {
				seen[name] = true
				s.add(c, path, name, &found)
			}
		}
	}
	return found
}

// matching returns the files that a pattern means, sorted.
func (c *Config) matching(pattern string) []string {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(c.file), pattern)
	}
	names, _ := filepath.Glob(pattern) // a wrong pattern matches none
	return names
}

// add adds a file.
func (s *sources) add(c *Config, path, name string, found *mistakes) {
	data, err := readFile(name)
	if err != nil {
		found.add(path, "%s", err)
		return
	}
	f, err := parse(name, data)
	var wrong *FileError
	if errors.As(err, &wrong) {
		for _, p := range wrong.Places {
			found.add(path, "%s:%d:%d: %s", name, p.Line, p.Column, p.Text)
		}
		return
	}
	s.included = append(s.included, f)
	part := Config{Upstreams: f.config.Upstreams, Credentials: f.config.Credentials, Routes: f.config.Routes}
	if !reflect.DeepEqual(*f.config, part) {
		found.add(path, "%s: an included file has upstreams, credentials and routes only", name)
	}
	merge(&c.Upstreams, part.Upstreams, "upstreams", s.named, f, found)
	merge(&c.Credentials, part.Credentials, "credentials", s.named, f, found)
	c.Routes = append(c.Routes, part.Routes...)
	s.from(f, len(part.Routes))
}

// from notes that the next n routes are those of a file.
func (s *sources) from(f *file, n int) {
	for i := range n {
		s.routes = append(s.routes, origin{f, i})
	}
}

// merge adds what an included file has by name.
func merge[T any](all *map[string]T, more map[string]T, kind string, from map[string]*file, f *file, found *mistakes) {
	for _, name := range slices.Sorted(maps.Keys(more)) {
		path := "$." + kind + "." + name
		from[path+"+"] = f // where the second of two is
		if _, twice := (*all)[name]; twice {
			found.add(path+"+", "%q is there twice", name)
			continue
		}
		if *all == nil {
			*all = map[string]T{}
		}
		(*all)[name] = more[name]
		from[path] = f
	}
}

// find returns the file of a mistake, and its path there.
func (s *sources) find(path string) (*file, string) {
	if rest, ok := strings.CutPrefix(path, "$.routes["); ok {
		number, rest, _ := strings.Cut(rest, "]")
		if i, err := strconv.Atoi(number); err == nil && i < len(s.routes) {
			return s.routes[i].file, fmt.Sprintf("$.routes[%d]%s", s.routes[i].index, rest)
		}
	}
	for at := path; at != ""; at = above(at) {
		if f := s.named[at]; f != nil {
			return f, strings.TrimSuffix(path, "+")
		}
	}
	return s.main, path
}

// places returns where mistakes are.
func (s *sources) places(found mistakes) (all []Place) {
	byFile := map[*file][]Place{}
	for _, m := range found {
		f, path := s.find(m.Path)
		byFile[f] = append(byFile[f], f.place(Mistake{Path: path, Text: m.Text}))
	}
	for _, f := range append([]*file{s.main}, s.included...) {
		places := byFile[f]
		slices.SortStableFunc(places, func(a, b Place) int { return cmp.Compare(a.Line, b.Line) })
		f.show(places)
		for i := range places {
			if f != s.main {
				places[i].File = f.name
			}
		}
		all = append(all, places...)
	}
	return all
}
