package main

import (
	"slices"
	"strings"
	"testing"
)

// say gives a ledger the lines of a writer.
func say(t *testing.T, l *ledger, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := l.note(line); err != nil {
			t.Fatal(err)
		}
	}
}

// event is a row as a right store has it.
func event(id, stream string, revision int64) stored {
	return stored{id: id, stream: stream, revision: revision, data: []byte(`{"id":"` + id + `","pad":"xxx"}`)}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	told := []string{
		"try a s", "ack a s 1", "try b s", "ack b s 2", // acknowledged
		"try c s",                                 // open
		"try d u", "fail d unavailable disk full", // not written, says the store
		"try e v", "fail e unavailable down", "try e v", "fail e unknown broken", // may be
		"try f w", "fail f unavailable down", "try f w", // sent again, no answer
	}
	good := []stored{event("a", "s", 1), event("b", "s", 2), event("c", "s", 3), event("e", "v", 1), event("f", "w", 1)}
	altered := event("b", "s", 2)
	altered.data = []byte(`{}`)
	for name, c := range map[string]struct {
		rows []stored
		want string // of the only fault
	}{
		"all is well":                {good, ""},
		"what is open is not stored": {good[:2], ""},
		"an event is lost":           {[]stored{event("a", "s", 1)}, "event b was acknowledged as s@2 and is lost"},
		"an event is altered":        {[]stored{good[0], altered}, "event b: its data is altered"},
		"an event nobody tried":      {append(slices.Clone(good), event("x", "s", 4)), "event x is stored and nobody tried to"},
		"an event that was refused":  {append(slices.Clone(good), event("d", "u", 1)), "event d is stored, and every answer was that nothing was written: disk full"},
		"a gap":                      {[]stored{good[0], good[1], event("c", "s", 4)}, "event c: stream s has revision 4 after 2"},
		"another stream":             {[]stored{good[0], event("b", "t", 1)}, "event b was acknowledged as s@2 and is t@1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger(3)
			say(t, l, told...)
			faults, err := l.compare(rows(c.rows))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(faults, "; "); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
	l := newLedger(3)
	say(t, l, told...)
	faults, _ := l.compare(rows(append(slices.Clone(good), event("a", "s", 4))))
	if !slices.Contains(faults, "event a is stored twice") {
		t.Errorf("found %q, want that a is stored twice", faults)
	}
}

func rows(all []stored) func(func(stored)) error {
	return func(each func(stored)) error {
		for _, r := range all {
			each(r)
		}
		return nil
	}
}

// An append that goes out again under another id is found by what its data say.
func TestCompareFindsRenamed(t *testing.T) {
	t.Parallel()
	l := newLedger(3)
	say(t, l, "try a s", "fail a unknown broken")
	if got, want := l.handover(func(id string) string { return id + "2" }), "a2 s a\n\n"; got != want {
		t.Errorf("handed over %q, want %q", got, want)
	}
	say(t, l, "ack a2 s 2")
	again := event("a", "s", 2)
	again.id = "a2"
	faults, err := l.compare(rows([]stored{event("a", "s", 1), again}))
	if want := "one append is stored twice, as a and as a2"; err != nil || len(faults) != 1 || faults[0] != want {
		t.Errorf("found %q, %v, want %q", faults, err, want)
	}
}

func TestHandover(t *testing.T) {
	t.Parallel()
	l := newLedger(3)
	say(t, l, "try a s", "ack a s 1", "try b s", "fail b unavailable down")
	if got, want := l.handover(nil), "b s\n\n"; got != want {
		t.Errorf("handed over %q, want %q", got, want)
	}
	if faults, _ := l.compare(rows([]stored{event("a", "s", 1), event("b", "s", 2)})); len(faults) > 0 {
		t.Errorf("what was handed over may be stored; found %q", faults)
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	l := newLedger(3)
	say(t, l, "try a s", "try b t", "try c u", "fail a unknown broken", "ack b t 1", "try d t", "fail d unavailable broken")
	if got := l.now(); got.acks != 1 || got.fails != 2 || got.unknowns != 1 || len(got.late) != 0 {
		t.Errorf("after the failures: %+v, want 1 acknowledged, 2 failures, 1 of them unknown, none late", got)
	}
	say(t, l, "ack c u 1", "ack d t 2", "try a s", "ack a s 1", "try f v", "ack f v 1")
	if got := l.now().late; !slices.Equal(got, []string{"d", "a", "f"}) {
		t.Errorf("late are %q, want those sent or failed after the first failure: d, a, f", got)
	}
	l.begin()
	say(t, l, "try e s", "ack e s 2")
	if got := l.now(); got.acks != 1 || len(got.late) != 0 {
		t.Errorf("a new writer begins with %+v", got)
	}
}

func TestAcknowledgedInTheDark(t *testing.T) {
	t.Parallel()
	l := newLedger(3)
	say(t, l, "try a s")
	l.setDark(true)
	say(t, l, "ack a s 1")
	if acked, open := l.counts(); acked != 0 || open != 1 {
		t.Errorf("%d acknowledged, %d open; want what came after the power to be open", acked, open)
	}
}

func TestNonsenseIsNoted(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", "ack a s x", "try a", "hello", "fail never-tried unknown text"} {
		if err := newLedger(3).note(line); err == nil {
			t.Errorf("the line %q was taken, want an error", line)
		}
	}
}
