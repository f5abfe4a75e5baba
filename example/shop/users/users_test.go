package users_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/banyantest"
	"github.com/banyanhq/banyan/example/shop/users"
	"github.com/banyanhq/banyan/mem"
)

func TestCustomer(t *testing.T) {
	t.Parallel()
	fresh := banyantest.Aggregate[users.Customer](t, "customer", users.Types)
	ada := fresh.Given(users.Registered{ID: "1", Name: "Ada"})
	blocked := ada.Given(users.Blocked{ID: "1", Reason: "unpaid"})

	fresh.When(users.Register("1", "Ada")).Then(users.Registered{ID: "1", Name: "Ada"})
	ada.When(users.Register("1", "Ada")).Then()
	ada.When(users.Register("1", "Ada L.")).Then(users.Registered{ID: "1", Name: "Ada L."})
	fresh.When(users.Block("1", "unpaid")).Then(users.Blocked{ID: "1", Reason: "unpaid"}) // also a stranger
	blocked.When(users.Block("1", "unpaid")).Then()
	blocked.When(users.Block("1", "rude")).Then(users.Blocked{ID: "1", Reason: "rude"})
	fresh.When(users.Unblock("1")).Then()
	blocked.When(users.Unblock("1")).Then(users.Unblocked{ID: "1"}).ThenState(func(c users.Customer) {
		if want := (users.Customer{Name: "Ada", Registered: true}); c != want {
			t.Errorf("got %+v, want %+v", c, want)
		}
	})
}

func TestStoredEventsStayReadable(t *testing.T) {
	t.Parallel()
	banyantest.Golden(t, users.Types, "testdata/events",
		users.Registered{ID: "17850", Name: "Ada"}, users.Blocked{ID: "17850", Reason: "unpaid"}, users.Unblocked{ID: "17850"})
}

func newService(t *testing.T, o *users.Options) *users.Service {
	t.Helper()
	db := mem.Open()
	st, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(st.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	s, err := users.New(st, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhoMayOrder(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		options              *users.Options
		stranger, registered bool
	}{
		"default":          {nil, true, true},
		"refuse strangers": {&users.Options{RefuseStrangers: true}, false, true},
	} {
		s := newService(t, tc.options)
		may := func(id string, want bool) {
			t.Helper()
			got, err := s.Standing(t.Context(), id)
			if err != nil || got.MayOrder != want || (got.Reason == "") != want || got.Customer != id {
				t.Errorf("%s: %q: %+v with error %v, want %t", name, id, got, err, want)
			}
		}
		change := func(id string, decide func(users.Customer) ([]any, error)) {
			t.Helper()
			if _, err := s.Change(t.Context(), id, decide); err != nil {
				t.Error(err)
			}
		}
		may("x", tc.stranger)
		may("..", tc.stranger)
		change("1", users.Register("1", "Ada"))
		may("1", tc.registered)
		change("1", users.Block("1", "unpaid"))
		may("1", false)
		change("1", users.Unblock("1"))
		may("1", tc.registered)
		change("..", users.Block("..", "rude"))
		may("..", false)
		may("...", tc.stranger)
	}
}

// A number of any length has a short reason: it will stand at every line.
func TestReasonsAreShort(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("9", 1000)
	for _, o := range []*users.Options{nil, {RefuseStrangers: true}} {
		s := newService(t, o)
		if o == nil {
			if _, err := s.Change(t.Context(), id, users.Block(id, "unpaid")); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Standing(t.Context(), id)
		if err != nil || got.MayOrder || len(got.Reason) > 200 {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func TestProfile(t *testing.T) {
	t.Parallel()
	open, strict := newService(t, nil), newService(t, &users.Options{RefuseStrangers: true})
	if p, err := open.Profile(t.Context(), "1"); err != nil || p != (users.Profile{ID: "1", Status: "active"}) {
		t.Errorf("a stranger is %+v, %v", p, err)
	}
	if _, err := strict.Profile(t.Context(), "1"); !errors.Is(err, banyan.ErrNotFound) {
		t.Errorf("a stranger who is refused: %v", err)
	}
	p, err := strict.Change(t.Context(), "1", users.Block("1", "unpaid"))
	if want := (users.Profile{ID: "1", Status: "blocked", Reason: "unpaid"}); err != nil || p != want {
		t.Errorf("blocked: %+v, %v, want %+v", p, err, want)
	}
}
