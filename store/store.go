package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/banyanhq/banyan"
)

// Options of a Store. The zero value is good for production.
type Options struct {
	// Source is written into events that name none: a URI reference such as
	// "/shop/orders". Default: empty.
	Source string
	// MaxEventBytes limits the payload of one event. Default: 4 MiB.
	MaxEventBytes int
	// MaxAppend limits the events of one append. Default: 10,000.
	MaxAppend int
	// MaxGroup limits how many events share one transaction. Default: 1,000.
	MaxGroup int
	// Poll is how long a follower waits before it looks whether another process
	// appended something, when the back end cannot say. Default: 50 ms.
	Poll time.Duration
	// Now is the clock for Time and Recorded. Default: time.Now.
	Now func() time.Time
	// Hooks observe the store; nil means none.
	Hooks *Hooks
}

// Hooks are called by a Store after its work, on the calling goroutines; they
// must be quick. Every field may be nil.
type Hooks struct {
	// Appended is called for each group of appends with the number of appends
	// and events in it, how long the back end took, and its error.
	Appended func(appends, events int, took time.Duration, err error)
	// Read is called for each page with the number of events, how long the back
	// end took, and its error.
	Read func(events int, took time.Duration, err error)
}

func (o *Options) defaults() {
	if o.MaxEventBytes == 0 {
		o.MaxEventBytes = 4 << 20
	}
	if o.MaxAppend == 0 {
		o.MaxAppend = 10_000
	}
	if o.MaxGroup == 0 {
		o.MaxGroup = 1_000
	}
	if o.Poll == 0 {
		o.Poll = 50 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Hooks == nil {
		o.Hooks = &Hooks{}
	}
	if o.Hooks.Appended == nil || o.Hooks.Read == nil {
		hooks := *o.Hooks
		if hooks.Appended == nil {
			hooks.Appended = func(int, int, time.Duration, error) {}
		}
		if hooks.Read == nil {
			hooks.Read = func(int, time.Duration, error) {}
		}
		o.Hooks = &hooks
	}
}

func (o *Options) check() error {
	if o.MaxEventBytes < 0 || o.MaxAppend < 0 || o.MaxGroup < 0 || o.Poll < 0 {
		return fmt.Errorf("store: options: %w: limits and durations must not be negative", banyan.ErrInvalid)
	}
	return nil
}

// Store is an event store. Back ends make it (sqlite.DB.Store and its like), or
// New.
type Store struct {
	backend  Backend
	promises Promises
	opts     Options
	group    *group
	appended signal

	mu     sync.Mutex
	closed bool           // guarded by mu
	calls  sync.WaitGroup // calls of the back end under way; Add only with mu held and closed false
}

// New returns a store over a back end and owns it: Close closes it.
func New(b Backend, o *Options) (*Store, error) {
	s := &Store{backend: b, promises: b.Promises()}
	if o != nil {
		s.opts = *o
	}
	if err := s.opts.check(); err != nil {
		return nil, err
	}
	s.opts.defaults()
	s.group = newGroup(s.commitGroup, max(s.promises.Writers, 1), s.opts.MaxGroup)
	return s, nil
}

// Promises says what the store keeps.
func (s *Store) Promises() Promises { return s.promises }

// Close waits for the calls under way and closes the back end. Later calls fail
// with banyan.ErrClosed; closing twice is allowed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.appended.broadcast() // wakes followers, who then see that it is closed
	s.calls.Wait()
	s.group.wait()
	return s.backend.Close()
}

// enter announces a call of the back end; the caller must call s.calls.Done.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("the store is %w", banyan.ErrClosed)
	}
	s.calls.Add(1)
	return nil
}

// Write is the part of an append that goes into one stream.
type Write struct {
	Stream string
	Expect Expect
	Events []banyan.Event
}

// Result is the answer to an append.
type Result struct {
	// Events are the events as they are stored, in the order given. On back ends
	// that do not promise PositionOnAppend their Position is 0.
	Events []banyan.Event
	// Duplicate: an earlier call stored them; Events are from then.
	Duplicate bool
}

// Revision is that of the last event, 0 if there is none.
func (r Result) Revision() banyan.Revision {
	if len(r.Events) == 0 {
		return 0
	}
	return r.Events[len(r.Events)-1].Revision
}

// Token identifies the append for a later read: hand it to Store.PositionOf or
// to a projection that should wait until it has seen this append.
func (r Result) Token() Token {
	if len(r.Events) == 0 {
		return ""
	}
	return Token(r.Events[len(r.Events)-1].ID)
}

// Token names an append by its identity, the id of its last event, and not by a
// position, which the append may not have yet. The empty token is before
// everything.
type Token string

// Append stores events at the end of a stream.
func (s *Store) Append(ctx context.Context, stream string, expect Expect, events ...banyan.Event) (Result, error) {
	return s.AppendAll(ctx, Write{Stream: stream, Expect: expect, Events: events})
}

// AppendAll stores events in several streams, all or none. A stream may appear
// once.
func (s *Store) AppendAll(ctx context.Context, writes ...Write) (Result, error) {
	result, err := s.appendAll(ctx, writes)
	if err != nil {
		return Result{}, fmt.Errorf("store: append %s: %w", describe(writes), err)
	}
	return result, nil
}

func (s *Store) appendAll(ctx context.Context, writes []Write) (Result, error) {
	commit, err := s.Prepare(ctx, writes)
	if err != nil {
		return Result{}, err
	}
	if err := s.enter(); err != nil {
		return Result{}, err
	}
	defer s.calls.Done()
	outcome, err := s.group.do(ctx, commit)
	if err != nil {
		return Result{}, err
	}
	return outcome.Result()
}

// Tombstone closes a stream for ever: its last event is of type
// banyan.Tombstone, and every later append is refused with banyan.ErrGone. The
// events stay in the log, where readers see the tombstone in its place. Closing
// a closed stream is refused too.
func (s *Store) Tombstone(ctx context.Context, stream string, expect Expect) (Result, error) {
	return s.Append(ctx, stream, expect, banyan.Event{Type: banyan.Tombstone, Data: []byte("{}")})
}

// Result turns a back end's outcome into the caller's answer.
func (o Outcome) Result() (Result, error) {
	if o.Err != nil {
		return Result{}, o.Err
	}
	events := make([]banyan.Event, len(o.Records))
	for i := range o.Records {
		e, err := o.Records[i].Event()
		if err != nil {
			return Result{}, err
		}
		events[i] = e
	}
	return Result{Events: events, Duplicate: o.Duplicate}, nil
}

// commitGroup runs one group on the back end. It is the group's commit function.
func (s *Store) commitGroup(ctx context.Context, commits []Commit) ([]Outcome, error) {
	start := time.Now()
	outcomes, err := s.backend.Append(ctx, commits)
	s.opts.Hooks.Appended(len(commits), countRecords(commits), time.Since(start), err)
	if err != nil {
		if banyan.Kind(err) == nil {
			err = fmt.Errorf("%w: send the same events with the same ids again: %w", banyan.ErrUnknown, err)
		}
		return nil, err
	}
	if len(outcomes) != len(commits) {
		return nil, fmt.Errorf("%w: back end %s answered %d of %d appends", banyan.ErrUnknown, s.promises.Backend, len(outcomes), len(commits))
	}
	s.appended.broadcast()
	return outcomes, nil
}

// Prepare checks writes and turns them into the commit that a back end stores.
// It is for back ends that append inside a transaction of the user's; everybody
// else calls Append.
func (s *Store) Prepare(ctx context.Context, writes []Write) (Commit, error) {
	if len(writes) == 0 {
		return Commit{}, invalid("there is nothing to append")
	}
	now := s.opts.Now().UTC().Truncate(time.Microsecond)
	meta := banyan.MetadataFrom(ctx)
	commit := Commit{Sections: make([]Section, 0, len(writes))}
	streams := make(map[string]bool, len(writes))
	ids := make(map[string]bool)
	total := 0
	for _, w := range writes {
		if err := checkWrite(w, streams); err != nil {
			return Commit{}, err
		}
		if total += len(w.Events); total > s.opts.MaxAppend {
			return Commit{}, invalid("it has more than %d events; split it, or raise MaxAppend", s.opts.MaxAppend)
		}
		section := Section{Stream: w.Stream, Expect: w.Expect, Records: make([]Record, len(w.Events))}
		for i, e := range w.Events {
			e = s.fill(e, w.Stream, now)
			e.Meta = e.Meta.Or(meta)
			if err := s.checkEvent(&e); err != nil {
				return Commit{}, fmt.Errorf("event %d (%s): %w", i+1, e.Type, err)
			}
			if ids[e.ID] {
				return Commit{}, invalid("event id %s appears twice", e.ID)
			}
			if e.Type == banyan.Tombstone && i < len(w.Events)-1 {
				return Commit{}, invalid("stream %s: a tombstone must be the last event", w.Stream)
			}
			ids[e.ID] = true
			section.Records[i] = encode(&e)
		}
		commit.Sections = append(commit.Sections, section)
	}
	return commit, nil
}

// Appended tells followers in this process that the log has grown. Back ends
// call it after an append in a transaction of the user's has committed.
func (s *Store) Appended() { s.appended.broadcast() }

func (s *Store) fill(e banyan.Event, stream string, now time.Time) banyan.Event {
	e.Stream = stream
	e.Recorded = now
	if e.ID == "" {
		e.ID = banyan.NewID()
	}
	if e.Schema == 0 {
		e.Schema = 1
	}
	if e.Time.IsZero() {
		e.Time = now
	}
	if e.Source == "" {
		e.Source = s.opts.Source
	}
	if e.ContentType == banyan.JSON {
		e.ContentType = ""
	}
	return e
}

func checkWrite(w Write, seen map[string]bool) error {
	switch {
	case len(w.Events) == 0:
		return invalid("stream %s: there is no event to append", w.Stream)
	case w.Expect < Exists:
		return invalid("stream %s: expectation %d means nothing; use NoStream, Exact, Exists or Any", w.Stream, int64(w.Expect))
	case seen[w.Stream]:
		return invalid("stream %s appears twice in one append; put its events together", w.Stream)
	}
	seen[w.Stream] = true
	return checkText("stream", w.Stream, 1, maxStream)
}

const (
	maxStream = 500
	maxName   = 200
	maxMeta   = 64 << 10
	maxSchema = 1 << 30
)

func (s *Store) checkEvent(e *banyan.Event) error {
	if err := errors.Join(
		checkText("type", e.Type, 1, maxName),
		checkText("id", e.ID, 1, maxName),
		checkText("source", e.Source, 0, maxStream),
		checkText("content type", e.ContentType, 0, maxName),
		checkMeta(e.Meta),
	); err != nil {
		return err
	}
	switch {
	case len(e.Type) >= 7 && e.Type[:7] == "banyan." && e.Type != banyan.Tombstone:
		return invalid("type %s: names that start with \"banyan.\" are reserved", e.Type)
	case e.Schema < 1 || e.Schema > maxSchema:
		return invalid("schema version %d: it must be from 1 to %d", e.Schema, maxSchema)
	case len(e.Data) > s.opts.MaxEventBytes:
		return invalid("its data has %d bytes, more than %d; store large content elsewhere and its name here, or raise MaxEventBytes", len(e.Data), s.opts.MaxEventBytes)
	case e.ContentType == "" && !json.Valid(e.Data):
		return invalid("its data is not JSON; set ContentType for other content")
	case e.Time.Year() < 1 || e.Time.Year() > 9999:
		return invalid("time %v is outside the years 1 to 9999", e.Time)
	}
	return nil
}

func checkMeta(m banyan.Metadata) error {
	size := 0
	for key, value := range m.Extra {
		switch key {
		case "", keyCorrelation, keyCausation, keyActor, keyTenant, keyTraceParent, keyContentType:
			return invalid("metadata key %q is reserved; use the field of that name", key)
		}
		if value == "" {
			return invalid("metadata key %q has no value", key)
		}
		if err := errors.Join(checkText("metadata key", key, 1, maxName), checkText("metadata "+key, value, 1, maxMeta)); err != nil {
			return err
		}
		size += len(key) + len(value)
	}
	for _, value := range []string{m.Correlation, m.Causation, m.Actor, m.Tenant, m.TraceParent} {
		if err := checkText("metadata", value, 0, maxStream); err != nil {
			return err
		}
	}
	if size > maxMeta {
		return invalid("metadata has %d bytes, more than %d", size, maxMeta)
	}
	return nil
}

// checkText refuses what some database cannot keep or some log cannot show.
func checkText(what, s string, least, most int) error {
	switch {
	case len(s) < least:
		return invalid("%s is empty", what)
	case len(s) > most:
		return invalid("%s has %d bytes, more than %d", what, len(s), most)
	case !utf8.ValidString(s):
		return invalid("%s is not valid UTF-8", what)
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return invalid("%s %q has a control character", what, s)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{banyan.ErrInvalid}, args...)...)
}

// describe names an append in errors.
func describe(writes []Write) string {
	switch len(writes) {
	case 0:
		return "nothing"
	case 1:
		return writes[0].Stream
	default:
		return fmt.Sprintf("%s and %d more", writes[0].Stream, len(writes)-1)
	}
}
