package banyan

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// Revision is the place of an event in its stream: 1 for the first, then
// without gaps. 0 means "no event yet".
type Revision int64

// Position is the place of an event in the log of one store: every reader sees
// the same events at the same positions, and a position that was once readable
// never changes. 0 is before the first event.
type Position int64

// Event is one fact. A writer fills Type and Data and, where the call may be
// sent again, ID; the store fills the rest.
type Event struct {
	// ID identifies the event for ever, in every store and bus it passes. The
	// writer chooses it so that sending the same fact again is recognised; an
	// empty ID is replaced by NewID. At most 200 bytes.
	ID string
	// Type is the name of the fact in the language of the business, in the past
	// tense: "order.placed". At most 200 bytes; "banyan." is reserved.
	Type string
	// Schema is the version of the shape of Data, from 1. 0 is read as 1.
	Schema int
	// Stream names the thing that the fact is about: "order-536365". At most
	// 500 bytes. The part before the first "-" is its category.
	Stream string
	// Revision and Position are given by the store. Position may still be 0 in
	// the answer to an append: see store.Promises.
	Revision Revision
	Position Position
	// Time is when it happened, in UTC with microseconds; zero is replaced by
	// the store's clock. Writers of old facts (an import) set it themselves.
	Time time.Time
	// Recorded is when the store accepted it. Order never depends on it.
	Recorded time.Time
	// Source names who wrote it, a URI reference such as "/shop/orders".
	Source string
	// ContentType of Data; empty means JSON.
	ContentType string
	// Data is the payload, kept byte for byte.
	Data []byte
	// Meta links the event to its cause.
	Meta Metadata
}

// Category returns the part of the stream's name before the first "-", or the
// whole name.
func (e Event) Category() string { return Category(e.Stream) }

// Category returns the part of a stream's name before the first "-", or the
// whole name.
func Category(stream string) string {
	for i := range len(stream) {
		if stream[i] == '-' {
			return stream[:i]
		}
	}
	return stream
}

// Tombstone is the type of the event that closes a stream for ever.
const Tombstone = "banyan.tombstone"

// JSON is the content type of events that say none.
const JSON = "application/json"

// Metadata says why an event exists. Empty fields are not stored.
type Metadata struct {
	// Correlation is the id of the whole business process, the same on every
	// event that follows from one request.
	Correlation string
	// Causation is the id of the command or event that directly led to this one.
	Causation string
	// Actor is who asked for it.
	Actor string
	// Tenant is whose data it is.
	Tenant string
	// TraceParent is the W3C Trace Context header of the request.
	TraceParent string
	// Extra holds the user's own pairs. Keys must not be those above.
	Extra map[string]string
}

// IsZero reports whether m says nothing.
func (m Metadata) IsZero() bool {
	return m.Correlation == "" && m.Causation == "" && m.Actor == "" && m.Tenant == "" &&
		m.TraceParent == "" && len(m.Extra) == 0
}

// Or returns m with every empty field taken from other.
func (m Metadata) Or(other Metadata) Metadata {
	if m.IsZero() {
		return other
	}
	pick := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	m.Correlation = pick(m.Correlation, other.Correlation)
	m.Causation = pick(m.Causation, other.Causation)
	m.Actor = pick(m.Actor, other.Actor)
	m.Tenant = pick(m.Tenant, other.Tenant)
	m.TraceParent = pick(m.TraceParent, other.TraceParent)
	if m.Extra == nil {
		m.Extra = other.Extra
	}
	return m
}

type metadataKey struct{}

// WithMetadata returns a context that carries m: events appended under it take
// the fields that they leave empty from there.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	return context.WithValue(ctx, metadataKey{}, m)
}

// MetadataFrom returns the metadata that ctx carries, or the zero value.
func MetadataFrom(ctx context.Context) Metadata {
	m, _ := ctx.Value(metadataKey{}).(Metadata)
	return m
}

// Caused returns the metadata of something that follows from e: the same
// process, caused by e.
func Caused(e Event) Metadata {
	m := e.Meta
	m.Causation = e.ID
	if m.Correlation == "" {
		m.Correlation = e.ID
	}
	return m
}

// NewID returns a new UUID of version 7 (RFC 9562 §5.7): unique, and in rough
// order of time, which keeps the index of ids compact.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[6:]) // never fails: crypto/rand ends the process instead
	ms := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint16(b[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(ms))
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}
