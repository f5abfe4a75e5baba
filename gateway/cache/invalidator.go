package cache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
)

// InvalidatorOptions of an Invalidator. The zero value removes answers.
type InvalidatorOptions struct {
	// Soft makes answers stale instead of removing them. Default: false.
	Soft bool
}

// Invalidator purges by event: any reader of the log hands it each event.
//
// Give it events behind the reader that fills the views from which the answers
// are made: an answer that is fetched again before its view has the event is old
// once more, and is stored.
type Invalidator struct {
	cache *Cache
	soft  bool
	rules map[string][]template // by type; "x.*" for all that begin with "x."
	wild  []string              // the keys of rules that end in "*"
}

// NewInvalidator returns an invalidator with rules from event types to tags,
// such as
//
//	{"order.placed": {"order:{stream}", "customer:{customer}"}, "price.*": {"prices"}}
//
// {stream}, {category}, {key} (the stream behind the first "-"), {type} and
// {tenant} are of the event, everything else is a path into its JSON data:
// {customer}, {address.country}, {lines.sku}; "data." in front tells a field
// named like those apart. Of an array each element makes a tag. Mistakes in the
// rules are errors of kind banyan.ErrInvalid.
func NewInvalidator(c *Cache, rules map[string][]string, o *InvalidatorOptions) (*Invalidator, error) {
	if c == nil {
		return nil, fmt.Errorf("cache: new invalidator: %w: there is no cache", banyan.ErrInvalid)
	}
	v := &Invalidator{cache: c, soft: o != nil && o.Soft, rules: map[string][]template{}}
	for kind, tags := range rules {
		if kind == "" || strings.Contains(strings.TrimSuffix(kind, "*"), "*") {
			return nil, fmt.Errorf("cache: new invalidator: %w: event type %q, want a type, or one that ends in *", banyan.ErrInvalid, kind)
		}
		for _, tag := range tags {
			t, err := parseTemplate(tag)
			if err != nil {
				return nil, err
			}
			v.rules[kind] = append(v.rules[kind], t)
		}
		if strings.HasSuffix(kind, "*") {
			v.wild = append(v.wild, kind)
		}
	}
	slices.Sort(v.wild)
	return v, nil
}

// Handle purges what an event makes old. Handling it again does no harm. An
// event without a field that a rule names is an error of kind
// banyan.ErrInvalid; the tags that could be made are purged all the same.
func (v *Invalidator) Handle(_ context.Context, e banyan.Event) error {
	tags, err := v.Tags(e)
	if len(tags) == 0 {
		return err
	}
	_, purgeErr := v.cache.Purge(Purge{Tags: tags, Soft: v.soft})
	return errors.Join(err, purgeErr)
}

// Tags returns what Handle would purge.
func (v *Invalidator) Tags(e banyan.Event) ([]string, error) {
	var tags []string
	var errs []error
	facts := facts{event: e}
	for _, t := range v.match(e.Type) {
		made, err := t.fill(&facts)
		if err != nil {
			errs = append(errs, fmt.Errorf("cache: invalidate by event %q of type %q: %w", e.ID, e.Type, err))
		}
		tags = append(tags, made...)
	}
	slices.Sort(tags)
	return slices.Compact(tags), errors.Join(errs...)
}

func (v *Invalidator) match(kind string) []template {
	list := v.rules[kind]
	for _, w := range v.wild {
		if strings.HasPrefix(kind, strings.TrimSuffix(w, "*")) {
			list = append(list[:len(list):len(list)], v.rules[w]...)
		}
	}
	return list
}

// template is a tag with places for fields: text, field, text, field, …
type template []string

func parseTemplate(s string) (template, error) {
	var t template
	for rest := s; ; {
		text, after, found := strings.Cut(rest, "{")
		t = append(t, text)
		if strings.Contains(text, "}") {
			break
		}
		if !found {
			if s == "" {
				break
			}
			return t, nil
		}
		field, tail, closed := strings.Cut(after, "}")
		if !closed || field == "" || strings.Contains(field, "{") {
			break
		}
		t, rest = append(t, field), tail
	}
	return nil, fmt.Errorf("cache: new invalidator: %w: tag %q, want text with {field}s", banyan.ErrInvalid, s)
}

// maxTags bounds what one template makes of one event with arrays.
const maxTags = 10_000

func (t template) fill(f *facts) ([]string, error) {
	tags := []string{""}
	for i, part := range t {
		values := []string{part}
		if i%2 == 1 {
			var err error
			if values, err = f.values(part); err != nil {
				return nil, err
			}
		}
		if len(tags)*len(values) > maxTags {
			return nil, fmt.Errorf("%w: more than %d tags of one template", banyan.ErrInvalid, maxTags)
		}
		var longer []string
		for _, tag := range tags {
			for _, value := range values {
				longer = append(longer, tag+value)
			}
		}
		tags = longer
	}
	return tags, nil
}

// facts are the fields of one event. Its data is parsed once, when asked for.
type facts struct {
	event  banyan.Event
	parsed bool
	data   any
	err    error
}

func (f *facts) values(field string) ([]string, error) {
	e := &f.event
	switch field {
	case "stream":
		return []string{e.Stream}, nil
	case "category":
		return []string{e.Category()}, nil
	case "key":
		_, key, _ := strings.Cut(e.Stream, "-")
		return []string{key}, nil
	case "type":
		return []string{e.Type}, nil
	case "tenant":
		return []string{e.Meta.Tenant}, nil
	}
	f.parse()
	if f.err != nil {
		return nil, fmt.Errorf("read data for field %q: %w: %w", field, banyan.ErrInvalid, f.err)
	}
	values, ok := leaves(f.data, strings.Split(strings.TrimPrefix(field, "data."), "."))
	if !ok {
		return nil, fmt.Errorf("%w: data has no text, number or boolean at %q", banyan.ErrInvalid, field)
	}
	return values, nil
}

func (f *facts) parse() {
	if f.parsed {
		return
	}
	f.parsed = true
	d := json.NewDecoder(bytes.NewReader(f.event.Data))
	d.UseNumber() // ids may be larger than float64 holds exactly
	f.err = d.Decode(&f.data)
}

// leaves returns the values at a path. Arrays on the way are gone through.
func leaves(v any, path []string) ([]string, bool) {
	switch v := v.(type) {
	case []any:
		all := []string{}
		for _, element := range v {
			values, ok := leaves(element, path)
			if !ok {
				return nil, false
			}
			all = append(all, values...)
		}
		return all, true
	case map[string]any:
		if len(path) == 0 {
			return nil, false
		}
		return leaves(v[path[0]], path[1:])
	case nil:
		return nil, false
	}
	return []string{fmt.Sprint(v)}, len(path) == 0
}
