package aggregate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/store"
)

// States that JSON would not keep whole must be refused when snapshots are on.

type hidden struct{ secret int }

func (s hidden) Apply(any) hidden { s.secret++; return s }

type skipped struct {
	A int `json:"-"`
}

func (s skipped) Apply(any) skipped { return s }

type deep struct{ Lines map[string][]*hidden }

func (s deep) Apply(any) deep { return s }

type dynamic struct{ V any }

func (s dynamic) Apply(any) dynamic { return s }

type whole struct {
	inner
	At    time.Time
	Next  *whole
	Lines map[string][]inner
	Empty struct{}
}

type inner struct{ A, B int }

func (s whole) Apply(any) whole { return s }

type ownJSON struct{ secret int }

func (s ownJSON) Apply(any) ownJSON                { return s }
func (s ownJSON) MarshalJSON() ([]byte, error)     { return []byte{byte('0' + s.secret)}, nil }
func (s *ownJSON) UnmarshalJSON(data []byte) error { s.secret = int(data[0] - '0'); return nil }

func TestStateMustSurviveJSON(t *testing.T) {
	t.Parallel()
	st := openStore(t, nil)
	cases := map[string]struct {
		err  error
		want string // part of the text; empty: accepted
	}{
		"unexported field":  {refusal[hidden](st, 1), "hidden.secret is not exported"},
		"json tag":          {refusal[skipped](st, 1), "skipped.A is left out"},
		"deep inside":       {refusal[deep](st, 1), "deep.Lines.secret is not exported"},
		"interface":         {refusal[dynamic](st, 1), "dynamic.V is of kind interface"},
		"whole":             {refusal[whole](st, 1), ""},
		"speaks for itself": {refusal[ownJSON](st, 1), ""},
		"no snapshots":      {refusal[hidden](st, 0), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			switch {
			case c.want == "" && c.err != nil:
				t.Errorf("refused: %v", c.err)
			case c.want != "" && (!errors.Is(c.err, banyan.ErrInvalid) || !strings.Contains(c.err.Error(), c.want)):
				t.Errorf("got %v, want %q", c.err, c.want)
			}
		})
	}
}

func refusal[S aggregate.State[S]](st *store.Store, every int) error {
	_, err := aggregate.New(st, "x", accountTypes(), &aggregate.Options[S]{Snapshot: aggregate.Snapshot{Every: every}})
	return err
}
