package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// section is a part of a commit whose events have these ids.
func section(stream string, expect store.Expect, ids ...string) store.Section {
	s := store.Section{Stream: stream, Expect: expect}
	for _, id := range ids {
		s.Records = append(s.Records, store.Record{ID: id, Type: "x", Schema: 1, Stream: stream, Data: []byte(id)})
	}
	return s
}

func commit(sections ...store.Section) store.Commit { return store.Commit{Sections: sections} }

// stored is a record that is there already.
func stored(stream, id string, revision banyan.Revision) store.Record {
	r := section(stream, 0, id).Records[0]
	r.Revision, r.Position = revision, 100
	r.Checksum = r.Sum()
	return r
}

func TestDecide(t *testing.T) {
	t.Parallel()
	heads := map[string]store.Head{"a": {Revision: 3}, "end": {Revision: 2, Closed: true}}
	known := map[string]store.Record{"a1": stored("a", "a1", 1), "a2": stored("a", "a2", 2), "a3": stored("a", "a3", 3)}
	tombstone := section("b", 0, "t")
	tombstone.Records[0].Type = banyan.Tombstone
	other := section("a", store.Any, "a1")
	other.Records[0].Data = []byte("other")
	for name, c := range map[string]struct {
		commits []store.Commit
		known   map[string]store.Record
		want    []string // one for each commit: revisions, or the kind of the error
		unclear []string
	}{
		"no stream on a new one":              {commits: []store.Commit{commit(section("b", store.NoStream, "1", "2"))}, want: []string{"[1 2]"}},
		"no stream on an old one":             {commits: []store.Commit{commit(section("a", store.NoStream, "1"))}, want: []string{"conflict"}, unclear: []string{"1"}},
		"exact":                               {commits: []store.Commit{commit(section("a", store.Exact(3), "1"))}, want: []string{"[4]"}},
		"exact, too low":                      {commits: []store.Commit{commit(section("a", store.Exact(2), "1"))}, want: []string{"conflict"}, unclear: []string{"1"}},
		"exact, too high":                     {commits: []store.Commit{commit(section("a", store.Exact(4), "1"))}, want: []string{"conflict"}, unclear: []string{"1"}},
		"any on a new one":                    {commits: []store.Commit{commit(section("b", store.Any, "1"))}, want: []string{"[1]"}},
		"any on an old one":                   {commits: []store.Commit{commit(section("a", store.Any, "1"))}, want: []string{"[4]"}},
		"exists on a new one":                 {commits: []store.Commit{commit(section("b", store.Exists, "1"))}, want: []string{"conflict"}, unclear: []string{"1"}},
		"exists on an old one":                {commits: []store.Commit{commit(section("a", store.Exists, "1"))}, want: []string{"[4]"}},
		"closed":                              {commits: []store.Commit{commit(section("end", store.Any, "1"))}, want: []string{"gone"}, unclear: []string{"1"}},
		"one refused section refuses all":     {commits: []store.Commit{commit(section("b", store.Any, "1"), section("a", store.NoStream, "2"))}, want: []string{"conflict"}, unclear: []string{"1", "2"}},
		"several streams":                     {commits: []store.Commit{commit(section("b", store.Any, "1"), section("a", store.Exact(3), "2", "3"))}, want: []string{"[1 4 5]"}},
		"neighbours of a conflict":            {commits: []store.Commit{commit(section("b", 0, "1")), commit(section("a", 0, "2")), commit(section("c", 0, "3"))}, want: []string{"[1]", "conflict", "[1]"}, unclear: []string{"2"}},
		"the second sees the first":           {commits: []store.Commit{commit(section("b", 0, "1")), commit(section("b", store.Exact(1), "2")), commit(section("b", 0, "3"))}, want: []string{"[1]", "[2]", "conflict"}, unclear: []string{"3"}},
		"the second does not see the refused": {commits: []store.Commit{commit(section("b", store.Exact(1), "1")), commit(section("b", 0, "2"))}, want: []string{"conflict", "[1]"}, unclear: []string{"1"}},
		"closed within the group":             {commits: []store.Commit{commit(tombstone), commit(section("b", store.Any, "1"))}, want: []string{"[1]", "gone"}, unclear: []string{"1"}},
		"repetition":                          {commits: []store.Commit{commit(section("a", store.NoStream, "a1", "a2"))}, known: known, want: []string{"again [1 2]"}},
		"repetition of a part":                {commits: []store.Commit{commit(section("a", store.NoStream, "a2"))}, known: known, want: []string{"again [2]"}},
		"some ids":                            {commits: []store.Commit{commit(section("a", store.Any, "a1", "new"))}, known: known, want: []string{"already exists"}},
		"another event":                       {commits: []store.Commit{commit(other)}, known: known, want: []string{"already exists"}},
		"another stream":                      {commits: []store.Commit{commit(section("b", store.Any, "a1"))}, known: known, want: []string{"already exists"}},
		"a conflict that is no repetition":    {commits: []store.Commit{commit(section("a", store.NoStream, "1"))}, known: known, want: []string{"conflict"}},
		"a repetition moves nothing":          {commits: []store.Commit{commit(section("a", 0, "a1")), commit(section("a", store.Exact(3), "1"))}, known: known, want: []string{"again [1]", "[4]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := store.Decide(c.commits, heads, c.known)
			var got []string
			for _, o := range d.Outcomes {
				got = append(got, tell(o))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.unclear, d.Unclear); diff != "" {
				t.Errorf("unclear (-want +got):\n%s", diff)
			}
			for _, r := range d.Insert {
				if r.Checksum != r.Sum() {
					t.Errorf("record %s is not sealed", r.ID)
				}
			}
		})
	}
}

// tell puts an outcome into words.
func tell(o store.Outcome) string {
	if o.Err != nil {
		return banyan.Kind(o.Err).Error()
	}
	revisions := make([]banyan.Revision, len(o.Records))
	for i, r := range o.Records {
		revisions[i] = r.Revision
	}
	if o.Duplicate {
		return fmt.Sprintf("again %v", revisions)
	}
	return fmt.Sprint(revisions)
}

func TestDecideSharesInsertWithOutcomes(t *testing.T) {
	t.Parallel()
	d := store.Decide([]store.Commit{commit(section("a", 0, "1", "2")), commit(section("b", 0, "3"))}, nil, nil)
	for i := range d.Insert {
		d.Insert[i].Position = banyan.Position(10 + i)
	}
	if got := d.Outcomes[1].Records[0].Position; got != 12 {
		t.Fatalf("position %d; want the one given to Insert", got)
	}
	_ = append(d.Outcomes[0].Records, store.Record{ID: "mine"})
	if d.Insert[2].ID != "3" {
		t.Fatal("appending to an outcome overwrote its neighbour")
	}
}

// naive is the meaning of appends in the plainest words: a list of records that
// is searched from the start for every question.
type naive []store.Record

func (n naive) end(stream string) (revision banyan.Revision, closed bool) {
	for _, r := range n {
		if r.Stream == stream {
			revision, closed = r.Revision, r.Type == banyan.Tombstone
		}
	}
	return revision, closed
}

func (n *naive) append(c store.Commit) string {
	var total, there, same int
	var old []banyan.Revision
	for _, s := range c.Sections {
		for _, want := range s.Records {
			total++
			for _, r := range *n {
				if r.ID == want.ID {
					there++
					old = append(old, r.Revision)
					if r.Stream == want.Stream && r.Type == want.Type && string(r.Data) == string(want.Data) {
						same++
					}
				}
			}
		}
	}
	switch {
	case there == total && same == total:
		return fmt.Sprintf("again %v", old)
	case there > 0:
		return "already exists"
	}
	for _, s := range c.Sections {
		revision, closed := n.end(s.Stream)
		right := s.Expect == store.Any || s.Expect == store.Exists && revision > 0 || int64(s.Expect) == int64(revision)
		if closed {
			return "gone"
		}
		if !right {
			return "conflict"
		}
	}
	var revisions []banyan.Revision
	for _, s := range c.Sections {
		for _, r := range s.Records {
			r.Revision, _ = n.end(s.Stream)
			r.Revision++
			*n = append(*n, r)
			revisions = append(revisions, r.Revision)
		}
	}
	return fmt.Sprint(revisions)
}

// decider is a back end around Decide, as the contract describes one: it looks
// ids up only when it must.
type decider struct {
	log   []store.Record
	heads map[string]store.Head
	ids   map[string]store.Record
}

func (d *decider) append(t *rapid.T, group []store.Commit) []store.Outcome {
	decision := store.Decide(group, d.heads, nil)
	taken := slices.ContainsFunc(decision.Insert, func(r store.Record) bool { return d.ids[r.ID].ID != "" })
	if taken || len(decision.Unclear) > 0 {
		known := map[string]store.Record{}
		for _, id := range store.IDs(group) {
			if r, ok := d.ids[id]; ok {
				known[id] = r
			}
		}
		if decision = store.Decide(group, d.heads, known); len(decision.Unclear) > 0 {
			t.Fatalf("still unclear: %q", decision.Unclear)
		}
	}
	for _, r := range decision.Insert {
		d.log = append(d.log, r)
		d.ids[r.ID] = r
		d.heads[r.Stream] = store.Head{Revision: r.Revision, Closed: r.Type == banyan.Tombstone}
	}
	return decision.Outcomes
}

func TestDecideAgreesWithANaiveModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := &decider{heads: map[string]store.Head{}, ids: map[string]store.Record{}}
		var model naive
		var sent []store.Commit
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				var group []store.Commit
				for range rapid.IntRange(1, 4).Draw(t, "commits") {
					c := drawCommit(t, sent, &next)
					if !overlaps(group, c) {
						group = append(group, c)
					}
				}
				outcomes := d.append(t, group)
				for i, c := range group {
					want := model.append(c)
					if got := tell(outcomes[i]); got != want {
						t.Fatalf("commit %d of %+v: %s; the model says %s", i, group, got, want)
					}
				}
				sent = append(sent, group...)
			},
			"": func(t *rapid.T) {
				if len(d.log) != len(model) {
					t.Fatalf("%d records are stored; the model has %d", len(d.log), len(model))
				}
				for i, r := range d.log {
					if r.ID != model[i].ID || r.Revision != model[i].Revision {
						t.Fatalf("record %d is %s@%d; the model has %s@%d", i, r.ID, r.Revision, model[i].ID, model[i].Revision)
					}
				}
			},
		})
	})
}

func overlaps(group []store.Commit, c store.Commit) bool {
	ids := store.IDs(group)
	return slices.ContainsFunc(store.IDs([]store.Commit{c}), func(id string) bool { return slices.Contains(ids, id) })
}

func drawCommit(t *rapid.T, sent []store.Commit, next *int) store.Commit {
	if len(sent) > 0 && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
		old := sent[rapid.IntRange(0, len(sent)-1).Draw(t, "which")]
		c := commit(slices.Clone(old.Sections)...)
		s := &c.Sections[0]
		s.Records = slices.Clone(s.Records)
		switch rapid.IntRange(0, 4).Draw(t, "change") {
		case 0:
			s.Records[0].Data = []byte("changed")
		case 1:
			*next++
			s.Records[0].ID = fmt.Sprint(*next)
		case 2:
			s.Expect = drawExpect(t)
		}
		return c
	}
	streams := rapid.Permutation([]string{"a", "b", "c"}).Draw(t, "streams")
	var c store.Commit
	for _, stream := range streams[:rapid.IntRange(1, 2).Draw(t, "sections")] {
		var ids []string
		for range rapid.IntRange(1, 3).Draw(t, "events") {
			*next++
			ids = append(ids, fmt.Sprint(*next))
		}
		s := section(stream, drawExpect(t), ids...)
		if rapid.IntRange(0, 30).Draw(t, "end") == 0 {
			s.Records[len(s.Records)-1].Type = banyan.Tombstone
		}
		c.Sections = append(c.Sections, s)
	}
	return c
}

func drawExpect(t *rapid.T) store.Expect {
	return store.Expect(rapid.IntRange(-2, 6).Draw(t, "expect"))
}

func TestConflictErrorSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for expect, want := range map[store.Expect]string{
		store.NoStream: "stream a-1: conflict: expected no stream, it is at revision 5",
		store.Exact(3): "stream a-1: conflict: expected revision 3, it is at revision 5",
		store.Exists:   "stream a-1: conflict: expected an existing stream, it is at revision 5",
		store.Any:      "stream a-1: conflict: expected any revision, it is at revision 5",
	} {
		err := error(&store.ConflictError{Stream: "a-1", Want: expect, Have: 5})
		if err.Error() != want || !errors.Is(err, banyan.ErrConflict) || errors.Is(err, banyan.ErrExists) {
			t.Errorf("%q; want %q of kind %q", err, want, banyan.ErrConflict)
		}
	}
}
