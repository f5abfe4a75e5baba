package banyantest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/banyantest"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// The read models of doors: who came through each, and how often anybody did.
type (
	log struct {
		Names []string `json:"names"`
		Open  bool     `json:"open"`
	}
	count struct {
		Opened int `json:"opened"`
		Shut   int `json:"shut"`
	}
	greeting struct{ To string }
)

// Clone makes the writer keep counts as Go values, in contrast to logs.
func (c count) Clone() count { return c }

var (
	logs   = view.NewCollection[log]("logs")
	counts = view.NewCollection[count]("counts")
)

// errName is the mistake in the handler of a porter that cannot spell a name.
var errName = errors.New("cannot spell the name")

// porter folds doors into logs and counts, greets who comes in, and fails at a
// name, between two writes.
func porter(cannotSpell string, version int, greet func(context.Context, greeting) error) *projection.Definition {
	d := projection.Define("porter", types, &projection.Options{Version: version, Collections: []projection.Collection{logs, counts}})
	projection.On(d, func(ctx context.Context, b *projection.Batch, o opened, e banyan.Event) error {
		err := counts.Update(ctx, b.Writer(), "all", func(c *count) error { c.Opened++; return nil })
		if o.First == cannotSpell {
			return errName
		}
		b.Effect(func(ctx context.Context) error { return greet(ctx, greeting{o.First}) })
		return errors.Join(err, logs.Update(ctx, b.Writer(), e.Stream, func(l *log) error {
			l.Names, l.Open = append(l.Names, fmt.Sprintf("%s v%d", o.First, version)), true
			return nil
		}))
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, _ shut, e banyan.Event) error {
		return errors.Join(
			counts.Update(ctx, b.Writer(), "all", func(c *count) error { c.Shut++; return nil }),
			logs.Update(ctx, b.Writer(), e.Stream, func(l *log) error { l.Open = false; return nil }))
	})
	return d
}

type (
	logRows   = map[string]log
	countRows = map[string]count
)

func names(open bool, names ...string) log { return log{Names: names, Open: open} }

func TestProjection(t *testing.T) {
	t.Parallel()
	var greetings banyantest.Effects[greeting]
	banyantest.Projection(t, types, porter("", 1, greetings.Run)).
		Then(banyantest.Documents(logs, nil), banyantest.Documents(counts, nil), greetings.Ran()).
		Given("door-1", opened{"Ann", "Lee"}, shut{}).
		Given("door-2", opened{"Bob", "Ray"}).
		Given("door-1", banyan.Raw{Type: "door.opened", Schema: 1, Data: []byte(`{"Name":"Cy Fox"}`)}).
		When("door-2", shut{}).
		Then(
			banyantest.Documents(logs, logRows{"door-1": names(true, "Ann v1", "Cy v1"), "door-2": names(false, "Bob v1")}),
			banyantest.Document(counts, "all", count{3, 2}),
			banyantest.NoDocument(counts, "door-1"),
			banyantest.Parked(),
			greetings.Ran(greeting{"Ann"}, greeting{"Bob"}, greeting{"Cy"}),
		).
		WhenRebuilt().
		Then(
			banyantest.Documents(counts, countRows{"all": {3, 2}}),
			greetings.Ran(greeting{"Ann"}, greeting{"Bob"}, greeting{"Cy"}),
		).
		When("door-1", shut{}, opened{"Di", "Poe"}).
		Then(
			banyantest.Documents(counts, countRows{"all": {4, 3}}),
			greetings.Ran(greeting{"Ann"}, greeting{"Bob"}, greeting{"Cy"}, greeting{"Di"}),
		).
		ThenViews(func(db *view.DB) {
			page, err := logs.Scan(t.Context(), db, view.Query{Limit: 1})
			if err != nil || len(page.Items) != 1 || page.Items[0].Key != "door-1" {
				t.Errorf("got %+v and error %v, want door-1", page, err)
			}
		})
}

func TestProjectionParksRepairsAndRetries(t *testing.T) {
	t.Parallel()
	var greetings banyantest.Effects[greeting]
	m := banyantest.Projection(t, types, porter("Bob", 1, greetings.Run)).
		Given("door-1", opened{"Ann", "Lee"}, shut{}, opened{"Bob", "Ray"}, shut{}).
		When("door-2", opened{"Cy", "Fox"}).
		Then(
			banyantest.Parked("door-1"),
			// Nothing of Bob and of what came after him, and nothing half done.
			banyantest.Documents(logs, logRows{"door-1": names(false, "Ann v1"), "door-2": names(true, "Cy v1")}),
			banyantest.Documents(counts, countRows{"all": {2, 1}}),
			greetings.Ran(greeting{"Ann"}, greeting{"Cy"}),
		)
	var again recorder
	banyantest.Projection(&again, types, porter("Bob", 1, greetings.Run)).Given("door-1", opened{"Bob", "Ray"}).WhenRetried("door-1").Then()
	again.want(t, "the retry failed", errName.Error())

	m.WhenDeployed(porter("", 1, greetings.Run)).
		Then(banyantest.Parked("door-1")).
		WhenRetried("door-1").
		Then(
			banyantest.Documents(logs, logRows{"door-1": names(false, "Ann v1", "Bob v1"), "door-2": names(true, "Cy v1")}),
			banyantest.Documents(counts, countRows{"all": {3, 2}}),
			greetings.Ran(greeting{"Ann"}, greeting{"Cy"}, greeting{"Bob"}),
		).
		WhenDeployed(porter("", 2, greetings.Run)).
		Then(
			banyantest.Document(logs, "door-1", names(false, "Ann v2", "Bob v2")),
			banyantest.Documents(counts, countRows{"all": {3, 2}}),
			greetings.Ran(greeting{"Ann"}, greeting{"Cy"}, greeting{"Bob"}),
		)
}

// What was given is handled together, each When apart from it, and a rebuild once
// more and together.
func TestStepsAreBatches(t *testing.T) {
	t.Parallel()
	version, batches := 1, map[*projection.Batch][]string{}
	d := projection.Define("batches", types, &projection.Options{Collections: []projection.Collection{counts}})
	projection.OnAny(d, func(ctx context.Context, b *projection.Batch, _ any, e banyan.Event) error {
		batches[b] = append(batches[b], e.Stream)
		return counts.Put(ctx, b.Writer(), e.Stream, count{Opened: version})
	})
	both := func(n int) banyantest.Want {
		return banyantest.Documents(counts, countRows{"door-1": {Opened: n}, "door-2": {Opened: n}})
	}
	m := banyantest.Projection(t, types, d).
		Given("door-1", shut{}).Given("door-2", shut{}).Given("door-1").
		When("door-1", shut{}).
		Then(both(1))
	version = 2
	m.Then(both(1)).WhenRebuilt().Then(both(2))
	var got []string
	for _, streams := range batches {
		got = append(got, strings.Join(streams, " "))
	}
	slices.Sort(got)
	if want := []string{"door-1", "door-1 door-2", "door-1 door-2 door-1"}; !slices.Equal(got, want) {
		t.Errorf("batches %q, want %q", got, want)
	}
}

// Each expectation can fail, and says what is wrong.
func TestProjectionFails(t *testing.T) {
	t.Parallel()
	var none banyantest.Effects[greeting]
	cases := map[string]struct {
		then func(m *banyantest.ReadModel)
		want []string
	}{
		"passes": {then: func(m *banyantest.ReadModel) { m.Then(banyantest.Document(counts, "all", count{1, 0})) }},
		"other document": {
			func(m *banyantest.ReadModel) {
				m.Then(banyantest.Documents(logs, logRows{"door-1": names(true, "Abe v1")}))
			},
			[]string{"collection logs", "  door-1", `-       "Abe v1"`, `+       "Ann v1"`, `      "open": true`},
		},
		"missing document": {
			func(m *banyantest.ReadModel) {
				m.Then(banyantest.Documents(counts, countRows{"all": {1, 0}, "none": {0, 1}}))
			},
			[]string{"collection counts", "- none", `-     "shut": 1`},
		},
		"additional document": {
			func(m *banyantest.ReadModel) { m.Then(banyantest.Documents(counts, nil)) },
			[]string{"+ all", `+     "opened": 1`},
		},
		"one document":    {func(m *banyantest.ReadModel) { m.Then(banyantest.Document(counts, "all", count{2, 0})) }, []string{`-     "opened": 2`, `+     "opened": 1`}},
		"one not there":   {func(m *banyantest.ReadModel) { m.Then(banyantest.Document(counts, "x", count{2, 0})) }, []string{"- x", `-     "opened": 2`}},
		"one that exists": {func(m *banyantest.ReadModel) { m.Then(banyantest.NoDocument(counts, "all")) }, []string{"+ all"}},
		"not a collection of it": {
			func(m *banyantest.ReadModel) { m.Then(banyantest.Documents(view.NewCollection[log]("blogs"), nil)) },
			[]string{"not found", "name blogs in its Options.Collections"},
		},
		"not parked": {func(m *banyantest.ReadModel) { m.Then(banyantest.Parked("door-1")) }, []string{"- door-1"}},
		"parked": {
			func(m *banyantest.ReadModel) { m.When("door-2", opened{"Bob", "Ray"}).Then(banyantest.Parked()) },
			[]string{"+ door-2", "door-2: event door.opened of stream door-2 failed: " + errName.Error()},
		},
		"parked unseen": {
			func(m *banyantest.ReadModel) {
				m.When("door-2", opened{"Bob", "Ray"}).Then(banyantest.Document(counts, "all", count{1, 0}))
			},
			[]string{"+ door-2", errName.Error()},
		},
		"other effect":     {func(m *banyantest.ReadModel) { m.Then(none.Ran(greeting{"Ann"})) }, []string{"other effects", `-     "To": "Ann"`}},
		"not a decodable":  {func(m *banyantest.ReadModel) { m.Then(banyantest.Documents(view.NewCollection[[]int]("logs"), nil)) }, []string{"then", "corrupt"}},
		"undeclared given": {func(m *banyantest.ReadModel) { m.Given("door-1", 7).Then() }, []string{"given", "int"}},
		"undeclared when":  {func(m *banyantest.ReadModel) { m.When("door-1", 7).WhenRebuilt().Then() }, []string{"when", "int"}},
		"bad stream":       {func(m *banyantest.ReadModel) { m.When("", shut{}).WhenRetried("x").Then() }, []string{"when", "invalid"}},
		"nothing to retry": {func(m *banyantest.ReadModel) { m.WhenRetried("door-9").Then() }, []string{"the retry failed", "not found"}},
		"other projection": {
			func(m *banyantest.ReadModel) { m.WhenDeployed(projection.Define("other", types, nil)).Then() },
			[]string{"the projection other", "porter"},
		},
		"deployed without a definition": {func(m *banyantest.ReadModel) { m.WhenDeployed(nil).Then() }, []string{"a definition are needed"}},
		"deployed with other tables": {
			func(m *banyantest.ReadModel) {
				d := projection.Define("porter", types, &projection.Options{Collections: []projection.Collection{logs}})
				projection.OnAny(d, func(context.Context, *projection.Batch, any, banyan.Event) error { return nil })
				m.WhenDeployed(d).Then()
			},
			[]string{"the projection stopped", "raise Options.Version"},
		},
		"a new version that parks more": {
			func(m *banyantest.ReadModel) { m.WhenDeployed(porter("Ann", 2, none.Run)).Then() },
			[]string{"did not become the live one", `key "door-1" is parked in it`, errName.Error()},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r recorder
			var greetings banyantest.Effects[greeting]
			c.then(banyantest.Projection(&r, types, porter("Bob", 1, greetings.Run)).Given("door-1", opened{"Ann", "Lee"}))
			r.want(t, c.want...)
		})
	}
}

// All wants are looked at, so that one run tells all that is wrong.
func TestThenGoesOn(t *testing.T) {
	t.Parallel()
	var r recorder
	var greetings banyantest.Effects[greeting]
	banyantest.Projection(&r, types, porter("", 1, greetings.Run)).Then(
		banyantest.Document(counts, "all", count{}), banyantest.Parked("x"), greetings.Ran(greeting{"Ann"}))
	if len(r.failures) != 3 {
		t.Errorf("got failures %q, want three", r.failures)
	}
}

func TestProjectionOfABrokenDefinition(t *testing.T) {
	t.Parallel()
	var r recorder
	banyantest.Projection(&r, types, projection.Define("Bad", types, nil)).
		Given("door-1", shut{}).When("door-1", shut{}).WhenRebuilt().WhenRetried("x").WhenDeployed(nil).Then(banyantest.Parked("x")).
		ThenViews(func(*view.DB) { t.Error("ThenViews was called") })
	r.want(t, "the case cannot be run", `name "Bad"`)
}

// What does not answer is asked again for ever; a test must not hang on it.
func TestProjectionThatNeverCatchesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := projection.Define("waits", types, nil)
		projection.On(d, func(context.Context, *projection.Batch, shut, banyan.Event) error {
			return fmt.Errorf("no porter: %w", banyan.ErrUnavailable)
		})
		var r recorder
		banyantest.Projection(&r, types, d).When("door-1", shut{}).Then()
		r.want(t, "not caught up within 10s", "no porter")
	})
}

// Many documents are all read, and only those that differ are shown.
func TestManyDocuments(t *testing.T) {
	t.Parallel()
	var greetings banyantest.Effects[greeting]
	var r recorder
	m := banyantest.Projection(&r, types, porter("", 1, greetings.Run))
	want := logRows{}
	for i := range 2500 {
		stream := fmt.Sprintf("door-%04d", i)
		m.Given(stream, opened{"Ann", "Lee"})
		want[stream] = names(true, "Ann v1")
	}
	want["door-2499"] = names(false, "Ann v1")
	m.Then(banyantest.Documents(logs, want))
	r.want(t, "  door-2499", `-     "open": false`, `+     "open": true`)
	if n := strings.Count(strings.Join(r.failures, "\n"), "\n"); n > 10 {
		t.Errorf("the failure has %d lines:\n%s", n, r.failures[0])
	}
}
