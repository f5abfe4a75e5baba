package aggregate_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
)

func TestRepetitionGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*aggregate.Options[account]{
		"plain":                  nil,
		"hidden by the snapshot": every(2, 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, o)
			f.do("1", aggregate.Command{ID: "before"}, deposit(100))
			two := func(account) ([]any, error) { return []any{deposited{1}, deposited{2}}, nil }
			first := f.do("1", aggregate.Command{ID: "c"}, two)
			for range 5 {
				f.do("1", aggregate.Command{}, deposit(1000))
			}
			again := f.do("1", aggregate.Command{ID: "c"}, func(account) ([]any, error) {
				t.Error("it was decided again")
				return nil, nil
			})
			if !again.Repeated || !again.Duplicate || first.Repeated {
				t.Errorf("Repeated is %v then %v, want false then true", first.Repeated, again.Repeated)
			}
			if diff := cmp.Diff(first.Events, again.Events); diff != "" {
				t.Errorf("events: %s", diff)
			}
			if again.State != first.State || again.State.Balance != 103 {
				t.Errorf("got state %+v, want %+v", again.State, first.State)
			}
			if n := f.events("account-1"); n != 8 {
				t.Errorf("%d events in the stream, want 8", n)
			}
		})
	}
}

// A duplicate that runs beside the first must not see the effect of the first
// and refuse because of it, nor store a decision that came out differently.
func TestConcurrentDuplicates(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	decisions := map[string]aggregate.Decide[account]{
		"same":      deposit(50),
		"exclusive": withdraw(100),
		"different each time": func(account) ([]any, error) {
			return []any{deposited{int(n.Add(1))}, deposited{1}}, nil
		},
		"different in number": func(account) ([]any, error) {
			return deposits(int(n.Add(1))%3 + 1), nil
		},
	}
	for name, decide := range decisions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				oneEffect(t, decide)
			}
		})
	}
}

// The other call gets in between this one's look at the stream and its append.
func TestDuplicateInBetween(t *testing.T) {
	t.Parallel()
	for name, payloads := range map[string][]any{
		"same":         deposits(3),
		"the first":    deposits(2),
		"more":         deposits(4),
		"another fact": {withdrawn{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, nil)
			var first aggregate.Answer[account]
			second := f.do("1", aggregate.Command{ID: "c"}, func(account) ([]any, error) {
				f.do("1", aggregate.Command{}, deposit(100))
				first = f.do("1", aggregate.Command{ID: "c"}, func(account) ([]any, error) { return deposits(3), nil })
				f.do("1", aggregate.Command{}, deposit(100))
				return payloads, nil
			})
			if first.Repeated || !second.Repeated {
				t.Errorf("Repeated is %v and %v, want false and true", first.Repeated, second.Repeated)
			}
			if diff := cmp.Diff(first.Events, second.Events); diff != "" || second.State != first.State {
				t.Errorf("got state %+v, want %+v; events: %s", second.State, first.State, diff)
			}
			if n := f.events("account-1"); n != 5 {
				t.Errorf("%d events, want 5", n)
			}
		})
	}
}

func deposits(n int) []any {
	var events []any
	for range n {
		events = append(events, deposited{1})
	}
	return events
}

// oneEffect sends one command 16 times at once, with other commands between.
func oneEffect(t *testing.T, decide aggregate.Decide[account]) {
	t.Helper()
	f := setup(t, &aggregate.Options[account]{Retries: 1000})
	f.do("1", aggregate.Command{}, deposit(100))
	answers := make([]aggregate.Answer[account], 16)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			var err error
			if answers[i], err = f.accounts.Do(context.Background(), "1", aggregate.Command{ID: "c"}, decide); err != nil {
				t.Error(err)
			}
		})
		if i%4 == 0 {
			wg.Go(func() {
				if _, err := f.accounts.Do(context.Background(), "1", aggregate.Command{}, deposit(1000)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	fresh := 0
	for _, a := range answers {
		if !a.Repeated {
			fresh++
		}
		if diff := cmp.Diff(answers[0].Events, a.Events); diff != "" {
			t.Errorf("two answers to one command: %s", diff)
		}
		if a.State != answers[0].State {
			t.Errorf("states %+v and %+v after one command", a.State, answers[0].State)
		}
	}
	if want := 1 + 4 + len(answers[0].Events); fresh != 1 || f.events("account-1") != want {
		t.Errorf("%d first answers and %d events, want 1 and %d", fresh, f.events("account-1"), want)
	}
}

func TestCommandIDsAreScoped(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	// Streams and command ids that would collide if they were just put together.
	pairs := [][2]string{
		{"1", "c"},
		{"2", "c"},
		{"1", "c/1"},
		{"1", "c/1/1"},
		{"1", "1"},
		{"1/c", "1"},
		{"1/c/1", "1"},
		{"1", long},
		{"2", long},
		{"1", long + "y"},
		{long, "c"},
		{long, "c/1"},
	}
	f := setup(t, nil)
	for _, p := range pairs {
		first := f.do(p[0], aggregate.Command{ID: p[1]}, deposit(1))
		if first.Repeated {
			t.Errorf("stream %.20s, command %.20s: taken for a repetition", p[0], p[1])
		}
	}
	for _, p := range pairs {
		if again := f.do(p[0], aggregate.Command{ID: p[1]}, deposit(1)); !again.Repeated || len(again.Events) != 1 {
			t.Errorf("stream %.20s, command %.20s: not recognised", p[0], p[1])
		}
	}
}

// The ids are stored: a change of their form would make every old command new.
func TestEventIDsAreStable(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	two := func(account) ([]any, error) { return []any{deposited{1}, deposited{2}}, nil }
	for command, want := range map[string][2]string{
		"c":                      {"account-1/c/1", "account-1/c/2"},
		strings.Repeat("x", 182): {"account-1/" + strings.Repeat("x", 182) + "/1", "account-1/" + strings.Repeat("x", 182) + "/2"},
		strings.Repeat("ü", 100): {hashed + "/1", hashed + "/2"},
	} {
		events := f.do("1", aggregate.Command{ID: command}, two).Events
		if got := [2]string{events[0].ID, events[1].ID}; got != want {
			t.Errorf("command %.10s: got ids %v, want %v", command, got, want)
		}
	}
}

// hashed is "cmd:" and the SHA-256 of "9 account-1" and a hundred "ü", made with
// another program.
const hashed = "cmd:abb92d0dfda1e5900f8d36f5aa9382cad5c9f3f164c9735b6109d30f423b2031"

func TestForeignEventUnderTheCommandsID(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.append("other-1", banyan.Event{ID: "account-1/c/1", Type: "other.happened", Data: []byte("{}")})
	_, err := f.accounts.Do(context.Background(), "1", aggregate.Command{ID: "c"}, deposit(1))
	wantKind(t, err, banyan.ErrExists)
}

func TestInvalidCommandIDs(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	for _, id := range []string{strings.Repeat("x", 501), "a\nb", "\xff"} {
		_, err := f.accounts.Do(context.Background(), "1", aggregate.Command{ID: id}, deposit(1))
		wantKind(t, err, banyan.ErrInvalid)
	}
}

func TestCommandsWithoutIDRepeat(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	for range 2 {
		if f.do("1", aggregate.Command{}, deposit(1)).Repeated {
			t.Error("a command without id was taken for a repetition")
		}
	}
	if got := f.load("1").State.Balance; got != 2 {
		t.Errorf("got balance %d, want 2", got)
	}
}
