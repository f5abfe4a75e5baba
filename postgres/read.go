package postgres

import (
	"context"
	"math"
	"slices"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// ReadStream implements store.Backend.
func (b *backend) ReadStream(ctx context.Context, stream string, r store.Range) ([]store.Record, error) {
	var records []store.Record
	err := b.db.read(ctx, func(s session) error {
		st, from := &s.sql.forward, r.From
		if r.Backward {
			st = &s.sql.backward
			if from == 0 {
				from = math.MaxInt64
			}
		}
		var e encoder
		e.params = append(e.params, []byte(stream))
		e.int8(int64(from))
		e.int8(int64(r.Limit))
		var err error
		records, err = s.positioned(ctx, st, &e, min(r.Limit, 256))
		return err
	})
	b.db.heads.saw(records)
	return records, err
}

// Lookup implements store.Backend.
func (b *backend) Lookup(ctx context.Context, ids []string) ([]store.Record, error) {
	var records []store.Record
	err := b.db.read(ctx, func(s session) error {
		var err error
		records, err = s.lookup(ctx, ids)
		return err
	})
	return records, err
}

func (s session) lookup(ctx context.Context, ids []string) ([]store.Record, error) {
	var e encoder
	e.texts(ids)
	return s.positioned(ctx, &s.sql.lookup, &e, 0)
}

// positioned runs a statement whose rows are a position and a record.
func (s session) positioned(ctx context.Context, st *statement, e *encoder, expected int) ([]store.Record, error) {
	records := make([]store.Record, 0, expected)
	err := s.query(ctx, st, e.params, func(v [][]byte) error {
		r := store.Record{Position: banyan.Position(getInt8(v[0]))}
		if err := decodeRecord(v[1:], &r); err != nil {
			return err
		}
		records = append(records, r)
		return nil
	})
	return records, err
}

// Head implements store.Backend: it gives positions to what has none yet.
func (b *backend) Head(ctx context.Context) (banyan.Position, error) {
	var head banyan.Position
	err := b.db.read(ctx, func(s session) error {
		var err error
		head, err = s.head(ctx)
		return err
	})
	return head, err
}

// head looks whether there are tickets before it takes the lock: an idle log
// costs one query for each look and writes nothing.
func (s session) head(ctx context.Context) (banyan.Position, error) {
	var head banyan.Position
	tickets := false
	err := s.query(ctx, &s.sql.head, nil, func(v [][]byte) error {
		head, tickets = banyan.Position(getInt8(v[0])), v[1][0] != 0
		return nil
	})
	if err != nil || !tickets {
		return head, err
	}
	err = s.query(ctx, &s.sql.sequence, nil, func(v [][]byte) error {
		head = banyan.Position(getInt8(v[0]))
		return nil
	})
	return head, err
}

// filteredSpan is how many positions a page with a filter looks at, as few may
// match.
const filteredSpan = 16_384

// ReadAll implements store.Backend.
func (b *backend) ReadAll(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
	span := limit
	if !f.IsZero() {
		span = max(limit, filteredSpan)
	}
	var p page
	err := b.db.read(ctx, func(s session) error {
		p = page{after: after, until: after + banyan.Position(span), filter: f, limit: limit}
		err := s.entries(ctx, &p)
		if err != nil {
			return err
		}
		if len(p.entries) == 0 {
			head, err := s.head(ctx)
			if err != nil || head <= after {
				return err
			}
			if err := s.entries(ctx, &p); err != nil {
				return err
			}
		}
		return s.events(ctx, &p)
	})
	if err != nil {
		return nil, after, err
	}
	return p.records, p.next(), nil
}

// page is a piece of the log on its way.
type page struct {
	after, until banyan.Position // positions after < p <= until are wanted
	filter       store.Filter
	limit        int
	entries      []entry
	records      []store.Record
}

// entry is a row of the log: the events of a batch have positions from first on.
type entry struct {
	first banyan.Position
	batch int64
	count int32
}

// next is the position to go on from.
func (p *page) next() banyan.Position {
	if len(p.records) == p.limit {
		return p.records[len(p.records)-1].Position
	}
	if len(p.entries) == 0 {
		return p.after
	}
	last := p.entries[len(p.entries)-1]
	return min(p.until, last.first+banyan.Position(last.count)-1)
}

func (s session) entries(ctx context.Context, p *page) error {
	var e encoder
	e.int8(int64(p.after) + 1)
	e.int8(int64(p.until) + 1)
	p.entries = p.entries[:0]
	return s.query(ctx, &s.sql.page, e.params, func(v [][]byte) error {
		p.entries = append(p.entries, entry{first: banyan.Position(getInt8(v[0])), batch: getInt8(v[1]), count: getInt4(v[2])})
		return nil
	})
}

// events reads the events of the entries. In nearly every page the batches
// ascend and are close together: then they are one range of the primary key, in
// the right order. A page with the batch of a transaction that committed late is
// read batch by batch and sorted.
func (s session) events(ctx context.Context, p *page) error {
	if len(p.entries) == 0 {
		return nil
	}
	p.records = make([]store.Record, 0, min(p.limit, int(p.next()-p.after)))
	if p.compact() {
		return s.eventsBetween(ctx, p)
	}
	return s.eventsOf(ctx, p)
}

// compact reports whether reading from the first batch to the last reads little
// else.
func (p *page) compact() bool {
	ascending := slices.IsSortedFunc(p.entries, func(a, b entry) int { return int(a.batch - b.batch) })
	return ascending && p.entries[len(p.entries)-1].batch-p.entries[0].batch < int64(2*len(p.entries))+64
}

func (s session) eventsBetween(ctx context.Context, p *page) error {
	first, last := p.entries[0], p.entries[len(p.entries)-1]
	var e encoder
	e.int8(first.batch)
	e.int4(int(max(p.after+1-first.first, 0)))
	e.int8(last.batch)
	e.int4(int(min(p.until-last.first, banyan.Position(last.count)-1)))
	st := &s.sql.between
	if !p.filter.IsZero() {
		st = &s.sql.betweenMatching
		e.texts(p.filter.Types)
		e.texts(p.filter.Prefixes)
		e.int8(int64(p.limit))
	}
	entries := p.entries
	return s.query(ctx, st, e.params, func(v [][]byte) error { return p.add(v, &entries) })
}

func (s session) eventsOf(ctx context.Context, p *page) error {
	entries := slices.SortedFunc(slices.Values(p.entries), func(a, b entry) int { return int(a.batch - b.batch) })
	var e encoder
	e.array(oidInt8, len(entries), func(b []byte, i int) []byte { return appendInt8(b, entries[i].batch) })
	e.texts(p.filter.Types)
	e.texts(p.filter.Prefixes)
	err := s.query(ctx, &s.sql.anyOfThem, e.params, func(v [][]byte) error {
		batch := getInt8(v[0])
		i, found := slices.BinarySearchFunc(entries, batch, func(e entry, b int64) int { return int(e.batch - b) })
		if !found {
			return nil
		}
		one := entries[i : i+1]
		return p.add(v, &one)
	})
	if err != nil {
		return err
	}
	slices.SortFunc(p.records, func(a, b store.Record) int { return int(a.Position - b.Position) })
	p.records = p.records[:min(len(p.records), p.limit)]
	return nil
}

// add takes a row into the page if it belongs there. entries are sorted by
// batch, as the rows are; add moves them on.
func (p *page) add(v [][]byte, entries *[]entry) error {
	batch, list := getInt8(v[0]), *entries
	for len(list) > 0 && list[0].batch < batch {
		list = list[1:]
	}
	*entries = list
	if len(list) == 0 || list[0].batch != batch {
		return nil // in the log elsewhere, or not yet
	}
	r := store.Record{Position: list[0].first + banyan.Position(getInt4(v[1]))}
	if r.Position <= p.after || r.Position > p.until {
		return nil
	}
	if err := decodeRecord(v[2:], &r); err != nil {
		return err
	}
	p.records = append(p.records, r)
	return nil
}
