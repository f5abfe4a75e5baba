package banyan_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
)

// Three versions of one event: a name in one field; in two; with a title.
type (
	namedV1 struct{ Name string }
	namedV2 struct{ First, Last string }
	named   struct{ First, Last, Title string }
	greeted struct{ Name string }
	noted   struct{ Text string }
)

func toV2(n namedV1) (namedV2, error) {
	first, last, ok := strings.Cut(n.Name, " ")
	if !ok {
		return namedV2{}, errOnePart
	}
	return namedV2{first, last}, nil
}

func toV3(n namedV2) (named, error) { return named{n.First, n.Last, "Dr"}, nil }

var errOnePart = errors.New("the name has one part")

func raw(r ...banyan.Raw) func(banyan.Raw) ([]banyan.Raw, error) {
	return func(banyan.Raw) ([]banyan.Raw, error) { return r, nil }
}

func personTypes() *banyan.Types {
	return banyan.NewTypes(
		banyan.TypeOf[named]("person.named", 3, banyan.Upcast(1, toV2), banyan.Upcast(2, toV3)),
		banyan.TypeOf[greeted]("person.greeted", 1),
		// Version 1 was two facts in one; version 2 is no fact any more.
		banyan.TypeOf[noted]("person.noted", 4,
			banyan.UpcastRaw(1, raw(
				banyan.Raw{Type: "person.greeted", Schema: 1, Data: []byte(`{"Name":"Ann"}`)},
				banyan.Raw{Type: "person.named", Schema: 1, Data: []byte(`{"Name":"Ann Lee"}`)},
				banyan.Raw{Type: "person.moved", Schema: 1, Data: []byte(`{}`)},
				banyan.Raw{Type: "person.noted", Schema: 4, Data: []byte(`{"Text":"x"}`)},
			)),
			banyan.UpcastRaw(2, raw())),
	)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		event banyan.Event
		want  []any
	}{
		"current":       {banyan.Event{Type: "person.named", Schema: 3, Data: []byte(`{"First":"A","Last":"B","Title":"C"}`)}, []any{named{"A", "B", "C"}}},
		"one step":      {banyan.Event{Type: "person.named", Schema: 2, Data: []byte(`{"First":"A","Last":"B"}`)}, []any{named{"A", "B", "Dr"}}},
		"two steps":     {banyan.Event{Type: "person.named", Schema: 1, Data: []byte(`{"Name":"A B"}`)}, []any{named{"A", "B", "Dr"}}},
		"no version":    {banyan.Event{Type: "person.named", Data: []byte(`{"Name":"A B"}`)}, []any{named{"A", "B", "Dr"}}},
		"dropped":       {banyan.Event{Type: "person.noted", Schema: 2, Data: []byte(`{}`)}, []any{}},
		"newer version": {banyan.Event{Type: "person.named", Schema: 4, Data: []byte(`?`)}, []any{banyan.Raw{Type: "person.named", Schema: 4, Data: []byte(`?`)}}},
		"unknown type":  {banyan.Event{Type: "person.moved", Data: []byte(`?`)}, []any{banyan.Raw{Type: "person.moved", Schema: 1, Data: []byte(`?`)}}},
		"split in order": {banyan.Event{Type: "person.noted", Schema: 1, Data: []byte(`{}`)}, []any{
			greeted{"Ann"}, named{"Ann", "Lee", "Dr"}, banyan.Raw{Type: "person.moved", Schema: 1, Data: []byte(`{}`)}, noted{"x"},
		}},
	}
	types := personTypes()
	if err := types.Err(); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := types.Decode(c.event)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeFails(t *testing.T) {
	t.Parallel()
	loop := banyan.NewTypes(
		banyan.TypeOf[greeted]("a", 2, banyan.UpcastRaw(1, raw(banyan.Raw{Type: "b", Schema: 1}))),
		banyan.TypeOf[noted]("b", 2, banyan.UpcastRaw(1, raw(banyan.Raw{Type: "a", Schema: 1}))),
		banyan.TypeOf[named]("same", 2, banyan.UpcastRaw(1, raw(banyan.Raw{Type: "same", Schema: 1}))),
	)
	cases := map[string]struct {
		types *banyan.Types
		event banyan.Event
		want  string
	}{
		"damaged":          {personTypes(), banyan.Event{Type: "person.named", Schema: 3, Data: []byte(`{`)}, "person.named v3"},
		"damaged old":      {personTypes(), banyan.Event{Type: "person.named", Schema: 1, Data: []byte(`[]`)}, "upcast from version 1"},
		"upcaster refuses": {personTypes(), banyan.Event{Type: "person.named", Schema: 1, Data: []byte(`{"Name":"A"}`)}, errOnePart.Error()},
		"no upcaster":      {personTypes(), banyan.Event{Type: "person.noted", Schema: 3, Data: []byte(`{}`)}, "no upcaster from version 3 to 4"},
		"loop":             {loop, banyan.Event{Type: "a", Schema: 1}, "do not end"},
		"no progress":      {loop, banyan.Event{Type: "same", Schema: 1}, "returned version 1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.event.ID, c.event.Stream, c.event.Revision = "e1", "person-7", 9
			_, err := c.types.Decode(c.event)
			if !errors.Is(err, banyan.ErrCorrupt) {
				t.Fatalf("got %v, want banyan.ErrCorrupt", err)
			}
			for _, part := range []string{c.want, "e1", "person-7@9"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
	if _, err := personTypes().Decode(banyan.Event{Type: "person.named", Data: []byte(`{"Name":"A"}`)}); !errors.Is(err, errOnePart) {
		t.Errorf("the upcaster's own error is not found in %v", err)
	}
}

// An upcaster that doubles its event at each step must end before the memory.
func TestUpcastersThatMultiply(t *testing.T) {
	t.Parallel()
	a, b := banyan.Raw{Type: "a", Schema: 1}, banyan.Raw{Type: "b", Schema: 1}
	types := banyan.NewTypes(
		banyan.TypeOf[greeted]("a", 2, banyan.UpcastRaw(1, raw(b, b))),
		banyan.TypeOf[noted]("b", 2, banyan.UpcastRaw(1, raw(a, a))),
	)
	if _, err := types.Decode(banyan.Event{Type: "a", Schema: 1}); !errors.Is(err, banyan.ErrCorrupt) {
		t.Errorf("got %v, want an error", err)
	}
}

func TestDeclarationMistakes(t *testing.T) {
	t.Parallel()
	same := func(n noted) (noted, error) { return n, nil }
	cases := map[string]struct {
		defs []banyan.TypeDef
		want string
	}{
		"no name":           {[]banyan.TypeDef{banyan.TypeOf[noted]("", 1)}, "a name and a version from 1"},
		"version 0":         {[]banyan.TypeDef{banyan.TypeOf[noted]("n", 0)}, "a name and a version from 1"},
		"upcast from 0":     {[]banyan.TypeDef{banyan.TypeOf[noted]("n", 2, banyan.Upcast(0, same))}, "upcaster from version 0"},
		"upcast from now":   {[]banyan.TypeDef{banyan.TypeOf[noted]("n", 2, banyan.Upcast(2, same))}, "upcaster from version 2"},
		"two upcasters":     {[]banyan.TypeDef{banyan.TypeOf[noted]("n", 2, banyan.Upcast(1, same), banyan.Upcast(1, same))}, "two upcasters"},
		"name twice":        {[]banyan.TypeDef{banyan.TypeOf[noted]("n", 1), banyan.TypeOf[greeted]("n", 1)}, "type n is declared twice"},
		"Go type twice":     {[]banyan.TypeDef{banyan.TypeOf[noted]("n", 1), banyan.TypeOf[noted]("m", 1)}, "noted is declared twice"},
		"both are reported": {[]banyan.TypeDef{banyan.TypeOf[noted]("", 1), banyan.TypeOf[greeted]("g", -1)}, "greeted"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			types := banyan.NewTypes(c.defs...)
			_, encodeErr := types.Encode(noted{})
			_, decodeErr := types.Decode(banyan.Event{Type: "n"})
			for _, err := range []error{types.Err(), encodeErr, decodeErr} {
				if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
				}
			}
		})
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	types := personTypes()
	e, err := types.Encode(named{"A", "B", "C"})
	if err != nil {
		t.Fatal(err)
	}
	want := banyan.Event{Type: "person.named", Schema: 3, Data: []byte(`{"First":"A","Last":"B","Title":"C"}`)}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
	for _, v := range []any{nil, 1, &named{}, namedV1{}} {
		if _, err := types.Encode(v); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("encode %T: got %v, want banyan.ErrInvalid", v, err)
		}
		if name, ok := types.NameOf(v); ok {
			t.Errorf("the name of %T is %q", v, name)
		}
	}
	broken := banyan.NewTypes(banyan.TypeOf[chan int]("x", 1))
	if _, err := broken.Encode(make(chan int)); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("got %v for a value that is not JSON", err)
	}
}

func TestTypesAnswer(t *testing.T) {
	t.Parallel()
	types := personTypes()
	if diff := cmp.Diff([]string{"person.greeted", "person.named", "person.noted"}, types.Names()); diff != "" {
		t.Error(diff)
	}
	if v, none := types.Schema("person.named"), types.Schema("x"); v != 3 || none != 0 {
		t.Errorf("got versions %d and %d, want 3 and 0", v, none)
	}
	if name, ok := types.NameOf(named{}); !ok || name != "person.named" {
		t.Errorf("got name %q, %v", name, ok)
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range []banyan.Event{
		{Type: "person.named", Schema: 1, Data: []byte(`{"Name":"A B"}`)},
		{Type: "person.named", Schema: 3, Data: []byte(`{"First":"A"}`)},
		{Type: "person.noted", Schema: 1, Data: []byte(`{}`)},
		{Type: "", Schema: -1, Data: nil},
	} {
		f.Add(e.Type, e.Schema, e.Data)
	}
	types := personTypes()
	f.Fuzz(func(t *testing.T, name string, schema int, data []byte) {
		values, err := types.Decode(banyan.Event{Type: name, Schema: schema, Data: data})
		if err != nil {
			if !errors.Is(err, banyan.ErrCorrupt) {
				t.Fatalf("got %v, want an error of kind banyan.ErrCorrupt", err)
			}
			return
		}
		for _, v := range values {
			r, isRaw := v.(banyan.Raw)
			if isRaw {
				if types.Schema(r.Type) >= r.Schema {
					t.Fatalf("%s v%d is known and came back raw", r.Type, r.Schema)
				}
				continue
			}
			e, err := types.Encode(v)
			if err != nil {
				t.Fatal(err)
			}
			again, err := types.Decode(e)
			if err != nil {
				t.Fatalf("%s: %v", e.Data, err)
			}
			if diff := cmp.Diff([]any{v}, again); diff != "" {
				t.Fatalf("decoded, encoded, decoded: %s", diff)
			}
			if !json.Valid(e.Data) {
				t.Fatalf("encoded as %q", e.Data)
			}
		}
	})
}
