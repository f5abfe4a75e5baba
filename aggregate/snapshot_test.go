package aggregate_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/store"
)

// counted is a fixture that counts the events that are read.
func counted(t *testing.T, o *aggregate.Options[account]) (fixture, func() int64) {
	t.Helper()
	var read atomic.Int64
	st := openStore(t, &store.Options{Hooks: &store.Hooks{
		Read: func(events int, _ time.Duration, _ error) { read.Add(int64(events)) },
	}})
	return setupStore(t, st, o), func() int64 { return read.Swap(0) }
}

// fill makes a stream of 25 events.
func (f fixture) fill() {
	f.t.Helper()
	for range 25 {
		f.do("1", aggregate.Command{}, deposit(1))
	}
}

func (f fixture) wantBalance(balance int) {
	f.t.Helper()
	if l := f.load("1"); l.State.Balance != balance || l.State.Events != balance || int(l.Revision) != balance {
		f.t.Errorf("got %+v, want balance and revision %d", l, balance)
	}
}

func TestSnapshotSavesReading(t *testing.T) {
	t.Parallel()
	f, read := counted(t, every(10, 1))
	f.fill()
	read()
	f.wantBalance(25)
	if n := read(); n != 5 {
		t.Errorf("read %d events, want the 5 after the snapshot at 20", n)
	}
	f.do("1", aggregate.Command{ID: "c"}, deposit(1))
	if n := read(); n != 5 {
		t.Errorf("a command read %d events, want 5", n)
	}
}

func TestSnapshotsAreIgnored(t *testing.T) {
	t.Parallel()
	more := banyan.NewTypes(
		banyan.TypeOf[opened]("account.opened", 1),
		banyan.TypeOf[deposited]("account.deposited", 1),
		banyan.TypeOf[withdrawn]("account.withdrawn", 2, banyan.Upcast(1, func(w withdrawn) (withdrawn, error) { return w, nil })),
	)
	cases := map[string]struct {
		types  *banyan.Types
		o      *aggregate.Options[account]
		before func(t *testing.T, st *store.Store)
	}{
		"of another state schema": {accountTypes(), every(10, 2), nil},
		"of other event types":    {more, every(10, 1), nil},
		"that do not decode":      {accountTypes(), every(10, 1), spoil(`{"types":`)},
		"of another shape":        {accountTypes(), every(10, 1), spoil(`{"state":{"Balance":"much"}}`)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, read := counted(t, every(10, 1))
			f.fill()
			if c.before != nil {
				c.before(t, f.store)
			}
			f.accounts = newAccounts(t, f.store, c.types, c.o)
			read()
			f.wantBalance(25)
			if n := read(); n != 25 {
				t.Errorf("read %d events, want all 25", n)
			}
			f.do("1", aggregate.Command{}, deposit(1))
			read()
			f.wantBalance(26)
			if n := read(); n != 0 {
				t.Errorf("read %d events after the next command, want a new snapshot at the end", n)
			}
		})
	}
}

func spoil(data string) func(*testing.T, *store.Store) {
	return func(t *testing.T, st *store.Store) {
		t.Helper()
		err := st.SaveSnapshot(context.Background(), store.Snapshot{Stream: "account-1", Revision: 25, Schema: 1, Data: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	b := newFaulty()
	b.damage = func(s *store.SnapshotRecord) {
		s.Data = bytes.Replace(bytes.Clone(s.Data), []byte(`"Balance":`), []byte(`"Balance":9`), 1)
	}
	f := setupStore(t, b.open(t), every(10, 1))
	f.fill()
	f.wantBalance(25)
}

func TestSnapshotThatCannotBeKept(t *testing.T) {
	t.Parallel()
	b := newFaulty()
	b.putErr = errors.New("disk full")
	var log bytes.Buffer
	o := every(10, 1)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	f := setupStore(t, b.open(t), o)
	f.fill()
	f.wantBalance(25)
	for _, part := range []string{"snapshot not kept", "account-1", "disk full"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log does not say %q: %s", part, log.String())
		}
	}
}

// A snapshot that was taken past an ignored event would hide it from the program
// that knows it.
func TestNoSnapshotPastUnknownEvents(t *testing.T) {
	t.Parallel()
	o := every(2, 1)
	o.IgnoreUnknown = true
	f, read := counted(t, o)
	f.append("account-1", banyan.Event{Type: "account.frozen", Data: []byte("{}")})
	f.fill()
	read()
	if l := f.load("1"); l.State.Unknown != 1 {
		t.Errorf("got %+v, want the unknown event counted", l)
	}
	if n := read(); n != 26 {
		t.Errorf("read %d events, want all 26", n)
	}
}

// The end of a stream can lie before its snapshot after a restore of parts.
func TestSnapshotBeyondTheStream(t *testing.T) {
	t.Parallel()
	source := setup(t, every(10, 1))
	source.fill()
	snap, err := source.store.LoadSnapshot(context.Background(), "account-1", 1)
	if err != nil {
		t.Fatal(err)
	}
	f := setup(t, every(10, 1))
	f.do("1", aggregate.Command{}, deposit(3))
	if err := f.store.SaveSnapshot(context.Background(), snap); err != nil {
		t.Fatal(err)
	}
	if got := f.do("1", aggregate.Command{}, deposit(4)); got.State.Balance != 7 || got.Revision() != 2 {
		t.Errorf("got %+v, want the state from the events", got)
	}
}

func TestTimeTravel(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*aggregate.Options[account]{"plain": nil, "snapshots": every(3, 1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, o)
			day := func(n int) time.Time { return time.Date(2010, 12, n, 12, 0, 0, 0, time.UTC) }
			for n := 1; n <= 10; n++ {
				f.do("1", aggregate.Command{Time: day(n)}, deposit(1))
			}
			for n := range 11 {
				if got := f.at(aggregate.At{Time: day(n).Add(time.Hour)}); int(got.Revision) != n || got.State.Balance != n || got.Exists != (n > 0) {
					t.Errorf("day %d: got %+v", n, got)
				}
				if got := f.at(aggregate.At{Revision: banyan.Revision(n)}); n > 0 && (int(got.Revision) != n || got.State.Balance != n) {
					t.Errorf("revision %d: got %+v", n, got)
				}
			}
			_, err := f.accounts.LoadAt(context.Background(), "1", aggregate.At{Revision: 11})
			wantKind(t, err, banyan.ErrNotFound)
			for _, at := range []aggregate.At{{Revision: -1}, {Revision: 1, Time: day(1)}} {
				_, err := f.accounts.LoadAt(context.Background(), "1", at)
				wantKind(t, err, banyan.ErrInvalid)
			}
		})
	}
}

func (f fixture) at(at aggregate.At) aggregate.Loaded[account] {
	f.t.Helper()
	l, err := f.accounts.LoadAt(context.Background(), "1", at)
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}
