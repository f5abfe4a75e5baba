package aggregate

import (
	"context"
	"fmt"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// Loaded is the state of a stream.
type Loaded[S any] struct {
	State    S
	Revision banyan.Revision // of the last event in State
	Exists   bool            // it has an event
}

// At is a moment in the life of a stream: either after an event, or in time. The
// zero value is now.
type At struct {
	// Revision is the last event to count.
	Revision banyan.Revision
	// Time excludes the first event whose Time is later, and all after it.
	Time time.Time
}

// Load returns the state of a stream now. A stream without events has the
// initial state and does not Exist; a closed one is of kind banyan.ErrGone.
func (a *Aggregate[S]) Load(ctx context.Context, id string) (Loaded[S], error) {
	return a.LoadAt(ctx, id, At{})
}

// LoadAt returns the state that a stream had. A revision that it has not reached
// is an error of kind banyan.ErrNotFound. The past of a closed stream can be
// loaded.
func (a *Aggregate[S]) LoadAt(ctx context.Context, id string, at At) (Loaded[S], error) {
	stream, err := a.stream(id)
	if err != nil {
		return Loaded[S]{}, err
	}
	l, err := a.loadAt(ctx, stream, at)
	if err == nil && l.closed {
		err = errGone(l.revision)
	}
	if err != nil {
		return Loaded[S]{}, fmt.Errorf("aggregate: load %s: %w", stream, err)
	}
	return Loaded[S]{State: l.state, Revision: l.revision, Exists: l.revision > 0}, nil
}

func errGone(r banyan.Revision) error {
	return fmt.Errorf("%w: it was closed by a tombstone at revision %d; LoadAt still shows its past", banyan.ErrGone, r)
}

func (a *Aggregate[S]) loadAt(ctx context.Context, stream string, at At) (*folded[S], error) {
	o := store.ReadOptions{Until: at.Time}
	switch {
	case at.Revision < 0 || (at.Revision > 0 && !at.Time.IsZero()):
		return nil, fmt.Errorf("%w: give a revision from 1 or a time, not both", banyan.ErrInvalid)
	case at.Revision == 0 && !at.Time.IsZero():
		// No snapshot: the times of the events that it covers are not known.
		l := a.initial()
		return l, a.fold(ctx, stream, l, o, derived{})
	}
	l := a.fromSnapshot(ctx, stream, at.Revision)
	if at.Revision > 0 {
		if l.revision == at.Revision {
			return l, nil
		}
		o.Limit = int(at.Revision - l.revision)
	}
	if err := a.fold(ctx, stream, l, o, derived{}); err != nil {
		return nil, err
	}
	if l.revision < at.Revision {
		return nil, fmt.Errorf("%w: revision %d: the stream is at revision %d", banyan.ErrNotFound, at.Revision, l.revision)
	}
	return l, nil
}

// folded is a stream on its way to a state.
type folded[S any] struct {
	state    S
	revision banyan.Revision
	snapshot banyan.Revision // the fold began after this one; 0: at the first event
	closed   bool
	unknown  *banyan.Event  // the first event that the code does not know
	mine     []banyan.Event // those of the command that is being handled
}

func (a *Aggregate[S]) initial() *folded[S] { return &folded[S]{state: a.opts.Initial} }

// fold reads on from where l is.
func (a *Aggregate[S]) fold(ctx context.Context, stream string, l *folded[S], o store.ReadOptions, ids derived) error {
	o.From = l.revision + 1
	for e, err := range a.store.Read(ctx, stream, o) {
		if err != nil {
			return err
		}
		if err := a.apply(l, e); err != nil {
			return err
		}
		if ids.has(e.ID) {
			l.mine = append(l.mine, e)
		}
	}
	return nil
}

// apply counts one event in.
func (a *Aggregate[S]) apply(l *folded[S], e banyan.Event) error {
	l.revision = e.Revision
	if e.Type == banyan.Tombstone {
		l.closed = true
		return nil
	}
	payloads, err := a.types.Decode(e)
	if err != nil {
		return err
	}
	for _, p := range payloads {
		if _, raw := p.(banyan.Raw); raw && l.unknown == nil {
			l.unknown = &e
		}
		l.state = l.state.Apply(p)
	}
	return nil
}
