package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// kit is what a check works with: a back end of its own, and a store over it to
// prepare commits and to try what only a Store does. The store is never closed,
// because the harness closes the back end.
type kit struct {
	testing.TB
	h   Harness
	b   store.Backend
	st  *store.Store
	ctx context.Context
}

// patience bounds every check, so that a back end that hangs fails.
const patience = 90 * time.Second

func newKit(t testing.TB, h Harness) *kit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	k := &kit{TB: t, h: h, ctx: ctx}
	k.use(h.Open(t))
	return k
}

func (k *kit) use(b store.Backend) {
	k.Helper()
	st, err := store.New(b, &store.Options{MaxEventBytes: 8 << 20})
	if err != nil {
		k.Fatalf("store.New: %v", err)
	}
	k.b, k.st = b, st
}

// event returns an event with a new id.
func event(eventType, data string) banyan.Event {
	return banyan.Event{ID: banyan.NewID(), Type: eventType, Data: []byte(data)}
}

// events returns n events of a type that have the data 1, 2, 3 …
func events(n int, eventType string) []banyan.Event {
	out := make([]banyan.Event, n)
	for i := range out {
		out[i] = event(eventType, fmt.Sprint(i+1))
	}
	return out
}

func write(stream string, expect store.Expect, events ...banyan.Event) store.Write {
	return store.Write{Stream: stream, Expect: expect, Events: events}
}

// commit prepares writes as Store does.
func (k *kit) commit(writes ...store.Write) store.Commit {
	k.Helper()
	c, err := k.st.Prepare(k.ctx, writes)
	if err != nil {
		k.Fatalf("Prepare: %v", err)
	}
	return c
}

// one prepares a commit of one event.
func (k *kit) one(stream string, expect store.Expect) store.Commit {
	k.Helper()
	return k.commit(write(stream, expect, event("happened", "1")))
}

// append sends one group and checks the form of the answer.
func (k *kit) append(commits ...store.Commit) []store.Outcome {
	k.Helper()
	outcomes, err := k.b.Append(k.ctx, commits)
	if err != nil {
		k.Fatalf("Append: %v", err)
	}
	if len(outcomes) != len(commits) {
		k.Fatalf("Append answered %d of %d commits", len(outcomes), len(commits))
	}
	for i, o := range outcomes {
		if o.Busy {
			k.Fatalf("outcome %d is Busy, but nobody else is here", i)
		}
		if (o.Err == nil) != (len(o.Records) > 0) {
			k.Fatalf("outcome %d has %d records and error %v; want one of the two", i, len(o.Records), o.Err)
		}
		if n := len(store.IDs(commits[i : i+1])); o.Err == nil && len(o.Records) != n {
			k.Fatalf("outcome %d has %d records for %d events", i, len(o.Records), n)
		}
	}
	return outcomes
}

// put stores a commit that must be accepted and returns the records.
func (k *kit) put(c store.Commit) []store.Record {
	k.Helper()
	o := k.append(c)[0]
	if o.Err != nil || o.Duplicate {
		k.Fatalf("append to %v: error %v, duplicate %v; want it stored", store.Streams([]store.Commit{c}), o.Err, o.Duplicate)
	}
	return o.Records
}

// fill appends n events to a stream, one by one in groups of ten.
func (k *kit) fill(stream string, n int) []store.Record {
	k.Helper()
	var out []store.Record
	for len(out) < n {
		size := min(10, n-len(out))
		out = append(out, k.put(k.commit(write(stream, store.Any, events(size, "happened")...)))...)
	}
	return out
}

// refused checks that a commit is refused with an error of a kind.
func (k *kit) refused(o store.Outcome, kind error, what string) {
	k.Helper()
	if !errors.Is(o.Err, kind) {
		k.Fatalf("%s: error %v; want one of kind %q", what, o.Err, kind)
	}
}

// conflict checks that a commit is refused with what a caller needs to know.
func (k *kit) conflict(o store.Outcome, want store.ConflictError) {
	k.Helper()
	var got *store.ConflictError
	if !errors.As(o.Err, &got) || !errors.Is(o.Err, banyan.ErrConflict) {
		k.Fatalf("stream %s: error %v; want a conflict", want.Stream, o.Err)
	}
	if *got != want {
		k.Fatalf("conflict is %+v; want %+v", *got, want)
	}
}

// stream reads a whole stream.
func (k *kit) stream(name string) []store.Record {
	k.Helper()
	records, err := k.b.ReadStream(k.ctx, name, store.Range{Limit: 1_000_000})
	if err != nil {
		k.Fatalf("ReadStream %s: %v", name, err)
	}
	return records
}

// revision checks how long a stream is.
func (k *kit) revision(stream string, want int) {
	k.Helper()
	if got := len(k.stream(stream)); got != want {
		k.Fatalf("stream %s has %d events; want %d", stream, got, want)
	}
}

// page reads one page and checks what must hold of every page.
func (k *kit) page(after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position) {
	k.Helper()
	records, next, err := k.b.ReadAll(k.ctx, after, f, limit)
	if err != nil {
		k.Fatalf("ReadAll after %d: %v", after, err)
	}
	if len(records) > limit {
		k.Fatalf("ReadAll after %d returned %d records; the limit is %d", after, len(records), limit)
	}
	if next < after || (next == after && len(records) > 0) {
		k.Fatalf("ReadAll after %d: %d records, next is %d; it must move on", after, len(records), next)
	}
	last := after
	for _, r := range records {
		if r.Position <= last || r.Position > next {
			k.Fatalf("ReadAll after %d: position %d follows %d, next is %d; want them ascending and none beyond next", after, r.Position, last, next)
		}
		if !f.Matches(r.Type, r.Stream) {
			k.Fatalf("ReadAll returned type %s in stream %s, which does not match %+v", r.Type, r.Stream, f)
		}
		last = r.Position
	}
	return records, next
}

// pages reads the log in pages until it ends.
func (k *kit) pages(f store.Filter, limit int) []store.Record {
	k.Helper()
	var all []store.Record
	for after := banyan.Position(0); ; {
		records, next := k.page(after, f, limit)
		all = append(all, records...)
		if next == after {
			return all
		}
		after = next
	}
}

// log returns the whole log once it has at least want events: a back end that
// does not promise PositionOnAppend may show them a little later.
func (k *kit) log(want int) []store.Record {
	k.Helper()
	for tick := newTicker(k); ; tick.wait("the log has %d events", want) {
		if all := k.pages(store.Filter{}, 1000); len(all) >= want {
			if len(all) > want {
				k.Fatalf("the log has %d events; want %d", len(all), want)
			}
			return all
		}
	}
}

// ticker waits between looks and gives up after patience.
type ticker struct {
	k *kit
	t *time.Ticker
}

func newTicker(k *kit) *ticker {
	t := time.NewTicker(2 * time.Millisecond)
	k.Cleanup(t.Stop)
	return &ticker{k: k, t: t}
}

// wait ends the check when what is named did not come true in time.
func (t *ticker) wait(format string, args ...any) {
	t.k.Helper()
	select {
	case <-t.t.C:
	case <-t.k.ctx.Done():
		t.k.Fatalf("it never became true that "+format, args...)
	}
}

// head returns the head of the log.
func (k *kit) head() banyan.Position {
	k.Helper()
	head, err := k.b.Head(k.ctx)
	if err != nil {
		k.Fatalf("Head: %v", err)
	}
	return head
}

// lookup returns the stored records of ids by id.
func (k *kit) lookup(ids ...string) map[string]store.Record {
	k.Helper()
	records, err := k.b.Lookup(k.ctx, ids)
	if err != nil {
		k.Fatalf("Lookup of %d ids: %v", len(ids), err)
	}
	found := make(map[string]store.Record, len(records))
	for _, r := range records {
		if _, twice := found[r.ID]; twice {
			k.Fatalf("Lookup returned event %s twice", r.ID)
		}
		found[r.ID] = r
	}
	return found
}

// same compares records in order: every field, or all but the position where
// one side has none yet.
func (k *kit) same(what string, got, want []store.Record) {
	k.Helper()
	if len(got) != len(want) {
		k.Fatalf("%s: %d records; want %d\ngot  %s\nwant %s", what, len(got), len(want), names(got), names(want))
	}
	for i := range got {
		if d := diff(got[i], want[i]); d != "" {
			k.Fatalf("%s: record %d: %s", what, i, d)
		}
	}
}

// diff names the first field in which two records differ.
func diff(got, want store.Record) string {
	switch {
	case got.ID != want.ID:
		return fmt.Sprintf("event %s (%s@%d); want %s (%s@%d)", got.ID, got.Stream, got.Revision, want.ID, want.Stream, want.Revision)
	case !bytes.Equal(got.Data, want.Data):
		return fmt.Sprintf("event %s: data of %d bytes %.60q; want %d bytes %.60q", got.ID, len(got.Data), got.Data, len(want.Data), want.Data)
	case !bytes.Equal(got.Meta, want.Meta):
		return fmt.Sprintf("event %s: metadata %q; want %q", got.ID, got.Meta, want.Meta)
	case got.Position != want.Position && got.Position != 0 && want.Position != 0:
		return fmt.Sprintf("event %s: position %d; want %d", got.ID, got.Position, want.Position)
	}
	return diffFixed(got, want)
}

func diffFixed(got, want store.Record) string {
	got.Data, got.Meta, got.Position = nil, nil, 0
	want.Data, want.Meta, want.Position = nil, nil, 0
	if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
		return fmt.Sprintf("got  %s\nwant %s", a, b)
	}
	return ""
}

// names lists records for an error text.
func names(records []store.Record) string {
	var b strings.Builder
	for i, r := range records {
		if i == 20 {
			fmt.Fprintf(&b, " … %d more", len(records)-i)
			break
		}
		fmt.Fprintf(&b, " %d:%s@%d", r.Position, r.Stream, r.Revision)
	}
	return b.String()
}

// filter returns those records that match, in order.
func filter(records []store.Record, f store.Filter) []store.Record {
	var out []store.Record
	for _, r := range records {
		if f.Matches(r.Type, r.Stream) {
			out = append(out, r)
		}
	}
	return out
}
