package projection

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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

	Active      int          `json:"active"`
	Building    int          `json:"building"` // 0: none
	Last        int          `json:"last"`     // number of the newest generation ever made
	Generations []generation `json:"generations"`

	// Effects is the highest position for which effects were run, by whatever
	// generation was live then.
	Effects banyan.Position `json:"effects"`
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

func stateCollection() *view.Collection[state] {
	return view.NewCollection[state]("banyan_projections")
}

func parkedCollection() *view.Collection[parkedRow] {
	return view.NewCollection(
		"banyan_parked",
		view.IndexOf("owner", func(p parkedRow) string { return parkedOwner(p.Projection, p.Generation) }),
		view.IndexOf("parked_key", func(p parkedRow) string { return parkedOwner(p.Projection, p.Generation) + "/" + p.Key }),
	)
}

// exactly bounds a query to one index value; index values have no NUL.
func exactly(index, value string, limit int) view.Query {
	return view.Query{Index: index, From: value, To: value + "\x01", Limit: limit}
}

// setup makes the engine's own tables once.
func (r *Runner) setup(ctx context.Context) error {
	_, _, errState := r.states.Get(ctx, r.db, r.def.name)
	_, _, errParked := r.parked.Get(ctx, r.db, "-")
	if err := errors.Join(errState, errParked); err == nil || !errors.Is(err, banyan.ErrNotFound) {
		return err
	}
	return r.db.Batch(ctx, setupBatch, func(tx view.Tx) error {
		for _, c := range []Collection{r.states, r.parked} {
			t, err := c.Table(ownGeneration)
			if err != nil {
				return err
			}
			if err := tx.Create(ctx, t); err != nil {
				return err
			}
			if err := tx.Alias(ctx, c.Name(), t.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

// change is a batch of the projection under way.
type change struct {
	r     *Runner
	tx    view.Tx
	own   *view.Writer // of the engine's own tables
	state *state
	// loaded is the state as the batch found it.
	loaded *state
	keys   map[int]parkedKeys // what this batch leaves, by generation
}

// parkedKeys is the set of parked keys of a generation as of one revision.
type parkedKeys struct {
	rev  int64
	keys map[string]bool
}

var (
	errFenced = errors.New("another runner has taken over")
	errStale  = errors.New("the checkpoint has moved")
	// errLeave ends a batch that found nothing to do, without writing.
	errLeave = errors.New("nothing to change")
)

// noToken is for batches that any runner may write, leading or not.
const noToken = -1

// change runs fn in a batch with the state, and stores what fn made of it. With
// a token it is refused unless that is still the one of the lease.
func (r *Runner) change(ctx context.Context, token int64, fn func(c *change) error) error {
	var c *change
	err := r.db.Batch(ctx, r.def.name, func(tx view.Tx) error {
		c = &change{r: r, tx: tx, own: view.NewWriter(tx, ownGeneration), keys: map[int]parkedKeys{}}
		s, _, err := r.states.Get(ctx, c.own, r.def.name)
		if err != nil {
			return err
		}
		c.state, c.loaded = &s, s.clone()
		if token != noToken && s.Token != token {
			return errFenced
		}
		if err := fn(c); err != nil {
			return err
		}
		s.Rev++
		if token != noToken {
			s.Beat++
		}
		if err := r.states.Put(ctx, c.own, r.def.name, s); err != nil {
			return err
		}
		return c.own.Flush(ctx)
	})
	if errors.Is(err, errLeave) {
		c.state, c.keys, err = c.loaded, nil, nil
	}
	if err == nil {
		r.publish(c)
	}
	return err
}

// publish makes a committed state known to those who wait in this process.
func (r *Runner) publish(c *change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || c.state.Rev >= r.known.Rev {
		r.known = c.state.clone()
	}
	maps.Copy(r.keys, c.keys)
	close(r.moved)
	r.moved = make(chan struct{})
}

// parkedKeys returns the keys that wait in a generation. They are kept in memory
// between batches, and read again when another process changed them.
func (c *change) parkedKeys(ctx context.Context, g *generation) (parkedKeys, error) {
	if p, ok := c.keys[g.Number]; ok {
		return p, nil
	}
	c.r.mu.Lock()
	p, ok := c.r.keys[g.Number]
	c.r.mu.Unlock()
	if ok && p.rev == g.ParkedRev {
		return p, nil
	}
	p = parkedKeys{rev: g.ParkedRev, keys: map[string]bool{}}
	if g.ParkedEvents > 0 {
		q := exactly("owner", parkedOwner(c.r.def.name, g.Number), 1000)
		for more := true; more; more = q.After != nil {
			page, err := c.r.parked.Scan(ctx, c.own, q)
			if err != nil {
				return p, err
			}
			for _, item := range page.Items {
				p.keys[item.Value.Key] = true
			}
			q.After = page.Next
		}
	}
	c.keys[g.Number] = p
	return p, nil
}

// park records an event that waits.
func (c *change) park(ctx context.Context, g *generation, row parkedRow) error {
	p, err := c.parkedKeys(ctx, g)
	if err != nil {
		return err
	}
	row.Projection, row.Generation = c.r.def.name, g.Number
	if !p.keys[row.Key] {
		g.ParkedRev++
		g.ParkedKeys++
		p = parkedKeys{rev: g.ParkedRev, keys: maps.Clone(p.keys)}
		p.keys[row.Key] = true
		c.keys[g.Number] = p
	}
	g.ParkedEvents++
	return c.r.parked.Put(ctx, c.own, row.id(), row)
}

// unpark takes a key out of the set; its rows are deleted already.
func (c *change) unpark(ctx context.Context, g *generation, key string) error {
	p, err := c.parkedKeys(ctx, g)
	if err != nil {
		return err
	}
	g.ParkedRev++
	g.ParkedKeys--
	p = parkedKeys{rev: g.ParkedRev, keys: maps.Clone(p.keys)}
	delete(p.keys, key)
	c.keys[g.Number] = p
	return nil
}

// plain makes text storable on every back end: no NUL, valid UTF-8, not longer
// than n bytes.
func plain(s string, n int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

const maxKey = 500

// key returns what an event is parked by: long keys by their hash, because
// databases limit the size of index values.
func (d *Definition) key(e banyan.Event) string {
	k := d.opts.Key(e)
	if len(k) > maxKey {
		sum := sha256.Sum256([]byte(k))
		k = plain(k, maxKey-2*len(sum)-1) + "#" + hex.EncodeToString(sum[:])
	}
	return plain(k, maxKey)
}
