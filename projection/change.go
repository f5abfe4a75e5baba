package projection

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"strings"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

// change is a batch of the projection under way.
type change struct {
	r     *Runner
	tx    view.Tx
	own   *view.Writer // of the engine's own tables
	state *state
	// loaded is the state as the batch found it.
	loaded *state
	keys   map[int]parkedKeys // what this batch leaves, by generation
	// folded is the writer of the generation that events were applied to; nil: the
	// batch did something else.
	folded *view.Writer
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
	err := r.edit(ctx, func(tx view.Tx, own *view.Writer, s *state) error {
		c = &change{r: r, tx: tx, own: own, state: s, loaded: s.clone(), keys: map[int]parkedKeys{}}
		if token != noToken && s.Token != token {
			return errFenced
		}
		if err := fn(c); err != nil {
			return err
		}
		if token != noToken {
			s.Beat++
			c.sign()
		}
		return nil
	})
	if errors.Is(err, errLeave) {
		c.state, c.keys, err = c.loaded, nil, nil
	}
	if err == nil {
		r.publish(c)
	}
	return err
}

// sign leaves what people want to know of the owner.
func (c *change) sign() {
	c.state.Lease, c.state.Seen = c.r.opts.Lease, c.r.opts.Now()
	for i := range c.state.Generations {
		g := &c.state.Generations[i]
		g.Held = c.r.held(c.state, g)
	}
}

// publish makes a committed state known to those who wait in this process.
func (r *Runner) publish(c *change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || c.state.Rev >= r.known.Rev {
		r.known = c.state.clone()
	}
	maps.Copy(r.keys, c.keys)
	r.remember(c)
	close(r.moved)
	r.moved = make(chan struct{})
}

// rememberedBytes is how much is known of the rows of a generation between batches.
const rememberedBytes = 32 << 20

// remember keeps what the writer of a generation that is not live knows, for the
// next batch: reading row by row what was written a moment ago is most of the work
// of a rebuild. Of the live one nothing is kept, so that a row which a person mended
// by hand stays mended. The caller holds mu.
func (r *Runner) remember(c *change) {
	if c.loaded.Rev != r.written || c.folded == nil {
		clear(r.rows) // somebody else wrote, or not by folding
	}
	r.written = c.state.Rev
	delete(r.rows, c.state.Active)
	if c.folded != nil && c.folded.Generation() != c.state.Active {
		r.rows[c.folded.Generation()] = c.folded
	}
}

// writer returns the writer for the events of a generation, with what is known of
// its rows if every change of the state since was this runner's.
func (c *change) writer(g *generation) *view.Writer {
	r := c.r
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.rows[g.Number]
	delete(r.rows, g.Number) // until this batch is committed
	if w == nil || r.written != c.loaded.Rev {
		return view.NewWriter(c.tx, g.Number)
	}
	return w.Next(c.tx, rememberedBytes)
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
		for row, err := range c.r.parkedAfter(ctx, c.own, g.Number, 0) {
			if err != nil {
				return p, err
			}
			p.keys[row.Key] = true
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
