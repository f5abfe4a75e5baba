package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

// state is the document of a projection. Every batch of the projection reads it,
// and batches of one name never overlap: so what a batch decides on is true, and
// a checkpoint cannot be written by two.
type state struct {
	// The lease. Token rises with every change of owner, Beat with every batch.
	Owner   string `json:"owner"`
	Process string `json:"process"`
	Token   int64  `json:"token"`
	Beat    int64  `json:"beat"`
	Version int    `json:"version"` // of the owner's code
	// Rev rises with every change of the document, also by those who do not lead
	// and must not seem to be a sign of life of the one who does.
	Rev int64 `json:"rev"`
	// Lease is how long the owner's lease is and Seen what its clock said at its
	// last sign of life. They are for people; no contender compares them.
	Lease time.Duration `json:"lease"`
	Seen  time.Time     `json:"seen,omitzero"`

	Active      int          `json:"active"`
	Building    int          `json:"building"` // 0: none
	Last        int          `json:"last"`     // number of the newest generation ever made
	Generations []generation `json:"generations"`

	// Trouble is what the owner cannot get done; nil: nothing.
	Trouble *trouble `json:"trouble,omitempty"`
	// Requests are what people ask the owner for, oldest first, and Answers what
	// became of the last ones.
	Requests []request `json:"requests,omitempty"`
	Answers  []answer  `json:"answers,omitempty"`
}

// trouble is what keeps a projection from going on, or from switching.
type trouble struct {
	Error string    `json:"error"`
	Since time.Time `json:"since"`
}

// generation is one set of tables and how far it is.
type generation struct {
	Number      int             `json:"number"`
	Version     int             `json:"version"`
	Position    banyan.Position `json:"position"`
	Handled     int64           `json:"handled"`
	Collections []shape         `json:"collections"`

	ParkedKeys   int   `json:"parked_keys"`
	ParkedEvents int   `json:"parked_events"`
	ParkedRev    int64 `json:"parked_rev"` // rises with every change of the set of parked keys

	// Hold: a person wants to switch to it by hand.
	Hold bool `json:"hold,omitempty"`
	// Waiting says why it is not live although it has caught up, Held why the
	// owner's code does not advance it.
	Waiting string `json:"waiting,omitempty"`
	Held    string `json:"held,omitempty"`
}

// shape is a collection as it was when the generation was made.
type shape struct {
	Name  string     `json:"name"`
	Table view.Table `json:"table"`
}

func (s *state) generation(number int) *generation {
	for i := range s.Generations {
		if s.Generations[i].Number == number {
			return &s.Generations[i]
		}
	}
	return nil
}

func (s *state) clone() *state {
	c := *s
	c.Generations = slices.Clone(s.Generations)
	c.Requests, c.Answers = slices.Clone(s.Requests), slices.Clone(s.Answers)
	return &c
}

func (s *state) role(number int) string {
	switch number {
	case s.Active:
		return "active"
	case s.Building:
		return "building"
	default:
		return "older"
	}
}

// parkedRow is an event that waits.
type parkedRow struct {
	Projection string          `json:"projection"`
	Generation int             `json:"generation"`
	Key        string          `json:"key"`
	Position   banyan.Position `json:"position"`
	EventID    string          `json:"event_id"`
	Type       string          `json:"type"`
	Stream     string          `json:"stream"`
	Error      string          `json:"error"`
	Attempts   int             `json:"attempts"`
	// Effects: none were run for it yet, and they are to be.
	Effects bool `json:"effects"`
	// Missed: a generation that is not live has handled the event, which had
	// effects, and ran none. Were it live, nobody would run them any more.
	Missed bool `json:"missed,omitempty"`
}

func (p parkedRow) id() string { return parkedID(p.Projection, p.Generation, p.Position) }

func parkedID(projection string, generation int, at banyan.Position) string {
	return fmt.Sprintf("%s/%d/%020d", projection, generation, at)
}

func parkedOwner(projection string, generation int) string {
	return fmt.Sprintf("%s/%d", projection, generation)
}

// The engine's own tables. They are generation 1 for ever.
const (
	ownGeneration = 1
	setupBatch    = "banyan_projection_setup"
)

// records are the engine's own tables, as one projection uses them.
type records struct {
	db     *view.DB
	name   string // of the projection
	states *view.Collection[state]
	parked *view.Collection[parkedRow]
}

func newRecords(db *view.DB, name string) *records {
	return &records{
		db: db, name: name, states: stateCollection(),
		parked: view.NewCollection(
			"banyan_parked",
			view.IndexOf("owner", func(p parkedRow) string { return parkedOwner(p.Projection, p.Generation) }),
			view.IndexOf("parked_key", func(p parkedRow) string { return parkedOwner(p.Projection, p.Generation) + "/" + p.Key }),
		),
	}
}

func stateCollection() *view.Collection[state] {
	return view.NewCollection[state]("banyan_projections")
}

// exactly bounds a query to one index value; index values have no NUL.
func exactly(index, value string, limit int) view.Query {
	return view.Query{Index: index, From: value, To: value + "\x01", Limit: limit}
}

// setup makes the engine's own tables once.
func (t *records) setup(ctx context.Context) error {
	_, _, errState := t.states.Get(ctx, t.db, t.name)
	_, _, errParked := t.parked.Get(ctx, t.db, "-")
	if err := errors.Join(errState, errParked); err == nil || !errors.Is(err, banyan.ErrNotFound) {
		return err
	}
	return t.db.Batch(ctx, setupBatch, func(tx view.Tx) error {
		for _, c := range []Collection{t.states, t.parked} {
			table, err := c.Table(ownGeneration)
			if err != nil {
				return err
			}
			if err := tx.Create(ctx, table); err != nil {
				return err
			}
			if err := tx.Alias(ctx, c.Name(), table.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

// peek returns the state as it is now; nil when the projection was never begun.
func (t *records) peek(ctx context.Context) (*state, error) {
	s, found, err := t.states.Get(ctx, t.db, t.name)
	if errors.Is(err, banyan.ErrNotFound) || (err == nil && !found) {
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	return &s, err
}

// look is peek for those who need a live generation.
func (t *records) look(ctx context.Context) (*state, error) {
	s, err := t.peek(ctx)
	if err == nil && (s == nil || s.Active == 0) {
		err = errNeverRun
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

var errNeverRun = fmt.Errorf("%w: the projection has never run", banyan.ErrNotFound)

// edit runs fn in a batch of the projection with the state, and stores what fn
// made of it.
func (t *records) edit(ctx context.Context, fn func(tx view.Tx, own *view.Writer, s *state) error) error {
	return t.db.Batch(ctx, t.name, func(tx view.Tx) error {
		own := view.NewWriter(tx, ownGeneration)
		s, _, err := t.states.Get(ctx, own, t.name)
		if err != nil {
			return err
		}
		if err := fn(tx, own, &s); err != nil {
			return err
		}
		s.Rev++
		if err := t.states.Put(ctx, own, t.name, s); err != nil {
			return err
		}
		return own.Flush(ctx)
	})
}

// parkedAfter returns the parked events of a generation behind a position, in the
// order of the log.
func (t *records) parkedAfter(ctx context.Context, from view.Reader, generation int, after banyan.Position) iter.Seq2[parkedRow, error] {
	return func(yield func(parkedRow, error) bool) {
		owner := parkedOwner(t.name, generation)
		q := exactly("owner", owner, 1000)
		q.After = &view.Cursor{Value: owner, Key: parkedID(t.name, generation, after)}
		for q.After != nil {
			page, err := t.parked.Scan(ctx, from, q)
			if err != nil {
				yield(parkedRow{}, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item.Value, nil) {
					return
				}
			}
			q.After = page.Next
		}
	}
}

// nextKey returns the first event of the first parked key of a generation that is
// not below from; nil when there is none.
func (t *records) nextKey(ctx context.Context, generation int, from string) (*parkedRow, error) {
	owner := parkedOwner(t.name, generation)
	// "0" is the byte behind "/".
	page, err := t.parked.Scan(ctx, t.db, view.Query{Index: "parked_key", From: owner + "/" + from, To: owner + "0", Limit: 1})
	if err != nil || len(page.Items) == 0 {
		return nil, err
	}
	return &page.Items[0].Value, nil
}

// behind returns the lowest key above a key; keys have no NUL.
func behind(key string) string { return key + "\x01" }
