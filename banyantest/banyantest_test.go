package banyantest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/banyantest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The domain: a door that can be opened and shut, whose events once had a name
// in one field.
type (
	opened   struct{ First, Last string }
	openedV1 struct{ Name string }
	shut     struct{}
)

type door struct {
	Open bool
	By   string
}

func (d door) Apply(event any) door {
	switch e := event.(type) {
	case opened:
		return door{Open: true, By: e.First + "/" + e.Last}
	case shut:
		d.Open = false
	}
	return d
}

var types = banyan.NewTypes(
	banyan.TypeOf[opened]("door.opened", 2, banyan.Upcast(1, func(o openedV1) (opened, error) {
		first, last, ok := strings.Cut(o.Name, " ")
		if !ok {
			return opened{}, fmt.Errorf("name %q has one part", o.Name)
		}
		return opened{first, last}, nil
	})),
	banyan.TypeOf[shut]("door.shut", 1),
)

var errShut = errors.New("the door is shut already")

func shutDoor(d door) ([]any, error) {
	if !d.Open {
		return nil, errShut
	}
	return []any{shut{}}, nil
}

func openDoor(first, last string) aggregate.Decide[door] {
	return func(d door) ([]any, error) {
		if d.Open {
			return nil, nil
		}
		return []any{opened{first, last}}, nil
	}
}

// recorder is a T that keeps what a real one would fail with.
type recorder struct{ failures []string }

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// want demands one failure with these parts, or none when there are no parts.
func (r *recorder) want(t *testing.T, parts ...string) {
	t.Helper()
	if len(parts) == 0 {
		if len(r.failures) > 0 {
			t.Errorf("it failed: %q", r.failures)
		}
		return
	}
	if len(r.failures) != 1 {
		t.Errorf("got %d failures %q, want one with %q", len(r.failures), r.failures, parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(r.failures[0], part) {
			t.Errorf("failure\n%s\ndoes not say %q", r.failures[0], part)
		}
	}
}

func TestAggregate(t *testing.T) {
	t.Parallel()
	v1 := banyan.Raw{Type: "door.opened", Schema: 1, Data: []byte(`{"Name":"Ann Lee"}`)}
	cases := map[string]struct {
		run  func(c *banyantest.Case[door])
		want []string
	}{
		"passes": {run: func(c *banyantest.Case[door]) { c.When(openDoor("Ann", "Lee")).Then(opened{"Ann", "Lee"}) }},
		"passes after history": {run: func(c *banyantest.Case[door]) {
			c.Given(opened{"Ann", "Lee"}).When(shutDoor).Then(shut{}).ThenState(func(d door) {
				if d.Open {
					panic("open")
				}
			})
		}},
		"passes on an old version": {run: func(c *banyantest.Case[door]) {
			c.Given(v1).When(shutDoor).Then(shut{}).ThenState(func(d door) {
				if d.By != "Ann/Lee" {
					panic(d.By)
				}
			})
		}},
		"passes with nothing to do": {run: func(c *banyantest.Case[door]) { c.Given(opened{"A", "B"}).When(openDoor("C", "D")).Then() }},
		"passes with a refusal":     {run: func(c *banyantest.Case[door]) { c.When(shutDoor).ThenError(errShut).ThenState(func(door) {}) }},
		"other payload": {
			func(c *banyantest.Case[door]) { c.When(openDoor("Ann", "Lee")).Then(opened{"Ann", "Bee"}) },
			[]string{`    "First": "Ann"`, `-     "Last": "Bee"`, `+     "Last": "Lee"`},
		},
		"other type":  {func(c *banyantest.Case[door]) { c.When(openDoor("Ann", "Lee")).Then(shut{}) }, []string{"- door.shut v1", "+ door.opened v2"}},
		"too few":     {func(c *banyantest.Case[door]) { c.When(openDoor("Ann", "Lee")).Then() }, []string{"+ door.opened v2"}},
		"too many":    {func(c *banyantest.Case[door]) { c.Given(opened{}).When(shutDoor).Then(shut{}, shut{}) }, []string{"- door.shut v1"}},
		"refused":     {func(c *banyantest.Case[door]) { c.When(shutDoor).Then(shut{}) }, []string{"refused", errShut.Error()}},
		"not refused": {func(c *banyantest.Case[door]) { c.When(openDoor("A", "B")).ThenError(errShut) }, []string{errShut.Error(), "+ door.opened v2"}},
		"refused for another reason": {
			func(c *banyantest.Case[door]) { c.When(shutDoor).ThenError(banyan.ErrDenied) }, []string{"denied", errShut.Error()},
		},
		"undeclared in given": {func(c *banyantest.Case[door]) { c.Given(7).When(shutDoor).Then().ThenError(errShut) }, []string{"given", "int"}},
		"undeclared in then":  {func(c *banyantest.Case[door]) { c.When(openDoor("A", "B")).Then("text") }, []string{"then", "string"}},
		"unreadable history": {
			func(c *banyantest.Case[door]) {
				c.Given(banyan.Event{Type: "door.opened", Schema: 1, Data: []byte(`{"Name":"Ann"}`)}).When(shutDoor).Then(shut{})
			},
			[]string{"one part"},
		},
		"unknown event": {
			func(c *banyantest.Case[door]) {
				c.Given(banyan.Raw{Type: "door.painted", Data: []byte("{}")}).When(shutDoor).Then()
			},
			[]string{"door.painted", "newer version"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r recorder
			c.run(banyantest.Aggregate[door](&r, "door", types))
			r.want(t, c.want...)
		})
	}
}

func TestGivenBranches(t *testing.T) {
	t.Parallel()
	base := banyantest.Aggregate[door](t, "door", types).Given(opened{"A", "B"})
	base.Given(shut{}).When(shutDoor).ThenError(errShut)
	base.When(shutDoor).Then(shut{})
}

// files writes a folder of golden files.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func good() map[string]string {
	return map[string]string{
		"door.opened.v1.json": `{"Name":"Ann Lee"}`,
		"door.opened.v2.json": `{ "First": "Ann", "Last": "Lee" }`,
		"door.shut.v1.json":   "{}\n",
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		name, text string // a file to write over the good ones; text "-": remove
		want       []string
	}{
		"good":             {"door.shut.v1.json", "{}", nil},
		"missing":          {"door.opened.v2.json", "-", []string{"door.opened v2 has no file", "BANYAN_UPDATE_GOLDEN=1"}},
		"old is unread":    {"door.opened.v1.json", `{"Name":"Ann"}`, []string{"door.opened.v1.json", "one part"}},
		"shape has grown":  {"door.opened.v2.json", `{"First":"Ann"}`, []string{"encoded differently", `+     "Last": ""`, "raise its schema version"}},
		"shape has shrunk": {"door.opened.v2.json", `{"First":"Ann","Middle":"X","Last":"Lee"}`, []string{`-     "Middle": "X"`}},
		"order of fields":  {"door.opened.v2.json", `{"Last":"Lee","First":"Ann"}`, []string{"encoded differently"}},
		"type removed":     {"door.painted.v1.json", `{}`, []string{"door.painted v1, which is not declared"}},
		"newer version":    {"door.opened.v3.json", `{}`, []string{"door.opened v3, which is not declared"}},
		"not JSON":         {"door.shut.v1.json", `{`, []string{"door.shut.v1.json", "corrupt"}},
		"other file":       {"README", `x`, []string{"README", "its name is not"}},
		"odd version":      {"door.shut.v01.json", `{}`, []string{"its name is not"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := good()
			if content[c.name] = c.text; c.text == "-" {
				delete(content, c.name)
			}
			var r recorder
			banyantest.Golden(&r, types, files(t, content))
			r.want(t, c.want...)
		})
	}
}

func TestGoldenWithoutFolder(t *testing.T) {
	t.Parallel()
	var r recorder
	banyantest.Golden(&r, banyan.NewTypes(), filepath.Join(t.TempDir(), "none"))
	r.want(t, "none")
}

func TestGoldenOfBrokenTypes(t *testing.T) {
	t.Parallel()
	var r recorder
	banyantest.Golden(&r, banyan.NewTypes(banyan.TypeOf[shut]("", 1)), t.TempDir())
	r.want(t, "a name and a version")
}

func TestGoldenUpdate(t *testing.T) {
	t.Setenv(banyantest.UpdateGolden, "1")
	content := good()
	delete(content, "door.shut.v1.json")
	dir := filepath.Join(files(t, content), ".")
	var r recorder
	banyantest.Golden(&r, types, dir, opened{"Someone", "Else"}, shut{})
	r.want(t)
	for name, want := range good() {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
	banyantest.Golden(&r, types, filepath.Join(t.TempDir(), "new"), opened{"Ann", "Lee"})
	r.want(t, "door.shut v1 has no file")
}
