package banyantest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// Want is what Then can demand: [Documents], [Document], [NoDocument], [Parked] or
// [Effects.Ran].
type Want interface {
	// check says what is wrong, "" if nothing is.
	check(ctx context.Context, m *ReadModel) (string, error)
}

// Then demands all wants of the live read model. It also demands that no event is
// parked, unless a Parked is among them.
func (m *ReadModel) Then(wants ...Want) *ReadModel {
	m.t.Helper()
	m.catchUp()
	if !slices.ContainsFunc(wants, func(w Want) bool { _, ok := w.(parked); return ok }) {
		wants = append([]Want{Parked()}, wants...)
	}
	for _, w := range wants {
		if m.broken {
			break
		}
		wrong, err := w.check(context.Background(), m)
		if err != nil {
			m.t.Errorf("then: %v", err)
		} else if wrong != "" {
			m.t.Errorf("%s", wrong)
		}
	}
	return m
}

// Documents demands that a collection has exactly these documents, by their keys.
// Documents are equal when their JSON is.
func Documents[T any](c *view.Collection[T], want map[string]T) Want {
	return documents[T]{c, want, func(ctx context.Context, db *view.DB) (map[string]T, error) {
		got := map[string]T{}
		q := view.Query{Limit: 1000}
		for more := true; more; more = q.After != nil {
			page, err := c.Scan(ctx, db, q)
			if err != nil {
				return nil, err
			}
			for _, item := range page.Items {
				got[item.Key] = item.Value
			}
			q.After = page.Next
		}
		return got, nil
	}}
}

// Document demands that a key of a collection has this document.
func Document[T any](c *view.Collection[T], key string, want T) Want {
	return documents[T]{c, map[string]T{key: want}, only(c, key)}
}

// NoDocument demands that a key of a collection has none.
func NoDocument[T any](c *view.Collection[T], key string) Want {
	return documents[T]{c, nil, only(c, key)}
}

func only[T any](c *view.Collection[T], key string) func(context.Context, *view.DB) (map[string]T, error) {
	return func(ctx context.Context, db *view.DB) (map[string]T, error) {
		v, found, err := c.Get(ctx, db, key)
		if err != nil || !found {
			return nil, err
		}
		return map[string]T{key: v}, nil
	}
}

type documents[T any] struct {
	collection *view.Collection[T]
	want       map[string]T
	read       func(context.Context, *view.DB) (map[string]T, error)
}

func (d documents[T]) check(ctx context.Context, m *ReadModel) (string, error) {
	got, err := d.read(ctx, m.views)
	if errors.Is(err, banyan.ErrNotFound) {
		return "", fmt.Errorf("%w: does the projection name %s in its Options.Collections?", err, d.collection.Name())
	}
	if err != nil {
		return "", err
	}
	keys := maps.Clone(d.want)
	if keys == nil {
		keys = map[string]T{}
	}
	maps.Copy(keys, got)
	var diffs strings.Builder
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		want, err := lines(d.want, key)
		if err != nil {
			return "", err
		}
		have, err := lines(got, key)
		if err != nil {
			return "", err
		}
		diffs.WriteString(diffLines(want, have))
	}
	if diffs.Len() == 0 {
		return "", nil
	}
	return fmt.Sprintf("collection %s has other documents (- wanted, + there):\n%s", d.collection.Name(), diffs.String()), nil
}

// lines shows the document of a key: the key, then the JSON.
func lines[T any](documents map[string]T, key string) ([]string, error) {
	v, ok := documents[key]
	if !ok {
		return nil, nil
	}
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("document %s: %w", key, err)
	}
	return append([]string{key}, jsonLines(doc)...), nil
}

// Parked demands that events of exactly these keys are parked, in any order.
func Parked(keys ...string) Want { return parked{keys} }

type parked struct{ keys []string }

func (p parked) check(ctx context.Context, m *ReadModel) (string, error) {
	events, err := m.runner.Parked(ctx)
	if err != nil {
		return "", err
	}
	got := map[string]bool{}
	for _, e := range events {
		got[e.Key] = true
	}
	want := map[string]bool{}
	for _, key := range p.keys {
		want[key] = true
	}
	if maps.Equal(want, got) {
		return "", nil
	}
	diff := diffLines(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
	return fmt.Sprintf("other keys are parked (- wanted, + parked):\n%s%s", diff, reasons(events)), nil
}

// reasons says why each key is parked.
func reasons(events []projection.ParkedEvent) string {
	var text strings.Builder
	for _, e := range events {
		if e.Attempts > 0 {
			why, _, _ := strings.Cut(e.Error, "\n")
			fmt.Fprintf(&text, "%s: event %s of stream %s failed: %s\n", e.Key, e.Type, e.Stream, why)
		}
	}
	return text.String()
}

// Effects stands in a test for what effects do: the mailer, the client of another
// service. The zero value is ready.
type Effects[E any] struct{ ran []E }

// Run records an effect. It is the function that the handler's
// projection.Batch.Effect calls.
func (e *Effects[E]) Run(_ context.Context, effect E) error {
	e.ran = append(e.ran, effect)
	return nil
}

// Ran demands that exactly these were run since the beginning, in this order.
func (e *Effects[E]) Ran(want ...E) Want { return effects[E]{e, want} }

type effects[E any] struct {
	recorder *Effects[E]
	want     []E
}

func (e effects[E]) check(context.Context, *ReadModel) (string, error) {
	want, errWant := effectLines(e.want)
	got, errGot := effectLines(e.recorder.ran)
	if err := errors.Join(errWant, errGot); err != nil {
		return "", err
	}
	if diff := diffLines(want, got); diff != "" {
		return "other effects ran (- wanted, + ran):\n" + diff, nil
	}
	return "", nil
}

func effectLines[E any](effects []E) ([]string, error) {
	var all []string
	for _, e := range effects {
		text, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("effect: %w", err)
		}
		all = append(all, jsonLines(text)...)
	}
	return all, nil
}
