package store

import (
	"bytes"
	"fmt"

	"github.com/banyanhq/banyan"
)

// Expect is what an append expects of its stream. The zero value expects that
// the stream does not exist, so that a forgotten expectation cannot overwrite a
// decision made by somebody else.
type Expect int64

const (
	// NoStream: the stream has no event.
	NoStream Expect = 0
	// Any: whatever it is. For facts that depend on no decision.
	Any Expect = -1
	// Exists: the stream has at least one event.
	Exists Expect = -2
)

// Exact expects the stream to be at this revision; Exact(0) is NoStream.
func Exact(r banyan.Revision) Expect { return Expect(r) }

func (x Expect) String() string {
	switch x {
	case NoStream:
		return "no stream"
	case Any:
		return "any revision"
	case Exists:
		return "an existing stream"
	default:
		return fmt.Sprintf("revision %d", int64(x))
	}
}

func (x Expect) admits(have banyan.Revision) bool {
	switch x {
	case Any:
		return true
	case Exists:
		return have > 0
	default:
		return int64(x) == int64(have)
	}
}

// ConflictError says that a stream was not where the append expected it. It is
// of kind banyan.ErrConflict.
type ConflictError struct {
	Stream string
	Want   Expect
	Have   banyan.Revision // 0: the stream does not exist
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("stream %s: conflict: expected %v, it is at revision %d", e.Stream, e.Want, e.Have)
}

// Is makes errors.Is(err, banyan.ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == banyan.ErrConflict }

// Head is the end of a stream.
type Head struct {
	Revision banyan.Revision // of its last event; 0: no event
	Closed   bool            // its last event is a tombstone
}

// Decision is what is to be done about a group of commits.
type Decision struct {
	// Insert is every record to write, with revisions and checksums, in order.
	Insert []Record
	// Outcomes answers each commit. The records of accepted commits are parts of
	// Insert: set Position in Insert and they have it.
	Outcomes []Outcome
	// Unclear holds the event ids of commits that are refused unless they turn
	// out to be the repetition of an earlier call. When it is not empty, look
	// them up and decide again with what was found as known.
	Unclear []string
}

// Decide is the meaning of an append, shared by all back ends: pure, without
// I/O. heads has the end of every stream of the commits as the transaction sees
// it. known has the stored records of event ids: nil says that none was looked
// up yet, which is the usual first call, because almost no append is a
// repetition. A back end that then finds an event id taken when it inserts
// rolls back, looks all ids up, and decides again.
//
// Rules: a commit is accepted when every section's expectation holds; commits
// are taken in order, each seeing those accepted before it. A commit of whose
// ids all are stored is a repetition and gets the records of then, whatever it
// expects, if they are the same facts. A commit of whose ids some are stored is
// refused with banyan.ErrExists.
func Decide(commits []Commit, heads map[string]Head, known map[string]Record) Decision {
	d := Decision{Outcomes: make([]Outcome, len(commits)), Insert: make([]Record, 0, countRecords(commits))}
	now := make(map[string]Head, len(heads))
	for stream, head := range heads {
		now[stream] = head
	}
	for i := range commits {
		if o, repeated := repetition(&commits[i], known); repeated {
			d.Outcomes[i] = o
			continue
		}
		if err := check(&commits[i], now); err != nil {
			d.Outcomes[i] = Outcome{Err: err}
			if known == nil {
				d.Unclear = appendIDs(d.Unclear, &commits[i])
			}
			continue
		}
		first := len(d.Insert)
		for _, s := range commits[i].Sections {
			now[s.Stream] = d.place(s, now[s.Stream])
		}
		d.Outcomes[i] = Outcome{Records: d.Insert[first:len(d.Insert):len(d.Insert)]}
	}
	return d
}

// place gives the section's records their revisions and seals them.
func (d *Decision) place(s Section, head Head) Head {
	for _, r := range s.Records {
		head.Revision++
		head.Closed = r.Type == banyan.Tombstone
		r.Revision = head.Revision
		r.Checksum = r.Sum()
		d.Insert = append(d.Insert, r)
	}
	return head
}

func check(c *Commit, heads map[string]Head) error {
	for _, s := range c.Sections {
		head := heads[s.Stream]
		if head.Closed {
			return fmt.Errorf("stream %s: %w: it was closed by a tombstone at revision %d and takes no more events", s.Stream, banyan.ErrGone, head.Revision)
		}
		if !s.Expect.admits(head.Revision) {
			return &ConflictError{Stream: s.Stream, Want: s.Expect, Have: head.Revision}
		}
	}
	return nil
}

// repetition answers a commit whose events are stored already.
func repetition(c *Commit, known map[string]Record) (Outcome, bool) {
	var found []Record
	total := 0
	for _, s := range c.Sections {
		for _, r := range s.Records {
			total++
			old, ok := known[r.ID]
			if !ok {
				continue
			}
			if old.Stream != r.Stream || old.Type != r.Type || !bytes.Equal(old.Data, r.Data) {
				return Outcome{Err: fmt.Errorf("event %s: %w: this id belongs to another event (%s, %s@%d); an id is for one fact only", r.ID, banyan.ErrExists, old.Type, old.Stream, old.Revision)}, true
			}
			found = append(found, old)
		}
	}
	switch len(found) {
	case 0:
		return Outcome{}, false
	case total:
		return Outcome{Records: found, Duplicate: true}, true
	default:
		return Outcome{Err: fmt.Errorf("event %s: %w: %d of the %d events of this append are stored already; send the same events together, or new ids", found[0].ID, banyan.ErrExists, len(found), total)}, true
	}
}

func appendIDs(ids []string, c *Commit) []string {
	for _, s := range c.Sections {
		for _, r := range s.Records {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func countRecords(commits []Commit) int {
	n := 0
	for i := range commits {
		for _, s := range commits[i].Sections {
			n += len(s.Records)
		}
	}
	return n
}

// IDs returns the event ids of the commits.
func IDs(commits []Commit) []string {
	ids := make([]string, 0, countRecords(commits))
	for i := range commits {
		ids = appendIDs(ids, &commits[i])
	}
	return ids
}

// Streams returns the streams of the commits, each once, in order of first use.
func Streams(commits []Commit) []string {
	streams := make([]string, 0, len(commits))
	seen := make(map[string]bool, len(commits))
	for i := range commits {
		for _, s := range commits[i].Sections {
			if !seen[s.Stream] {
				seen[s.Stream] = true
				streams = append(streams, s.Stream)
			}
		}
	}
	return streams
}
