package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"sort"
	"time"

	"github.com/banyanhq/banyan"
)

// Record is an event as back ends keep it: times as microseconds since 1970 UTC,
// metadata encoded, and a checksum. A back end stores every field and gives it
// back unchanged.
type Record struct {
	ID       string
	Type     string
	Schema   int32
	Stream   string
	Revision banyan.Revision
	Position banyan.Position
	Time     int64 // µs since 1970 UTC
	Recorded int64 // µs since 1970 UTC
	Source   string
	Data     []byte
	Meta     []byte // JSON object of strings, or empty
	Checksum uint32 // Sum at the time of writing
}

// castagnoli is the polynomial of CRC-32C (RFC 3720 appendix B.4): computed by
// the CPU, and it finds every burst of errors up to 32 bits.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum computes the checksum of everything but Position, which some back ends
// give later; the order of positions is checked by readers and by Verify.
func (r *Record) Sum() uint32 {
	var fixed [60]byte
	le := binary.LittleEndian
	le.PutUint32(fixed[0:], uint32(r.Schema))
	le.PutUint64(fixed[4:], uint64(r.Revision))
	le.PutUint64(fixed[12:], uint64(r.Time))
	le.PutUint64(fixed[20:], uint64(r.Recorded))
	// The lengths keep bytes from moving from one field into the next unseen.
	le.PutUint32(fixed[28:], uint32(len(r.ID)))
	le.PutUint32(fixed[32:], uint32(len(r.Type)))
	le.PutUint32(fixed[36:], uint32(len(r.Stream)))
	le.PutUint32(fixed[40:], uint32(len(r.Source)))
	le.PutUint32(fixed[44:], uint32(len(r.Data)))
	le.PutUint32(fixed[48:], uint32(len(r.Meta)))
	sum := crc32.Update(0, castagnoli, fixed[:52])
	var text [256]byte // strings are summed through a buffer: no allocation
	for _, s := range [...]string{r.ID, r.Type, r.Stream, r.Source} {
		for len(s) > 0 {
			n := copy(text[:], s)
			sum = crc32.Update(sum, castagnoli, text[:n])
			s = s[n:]
		}
	}
	sum = crc32.Update(sum, castagnoli, r.Data)
	return crc32.Update(sum, castagnoli, r.Meta)
}

// encode turns a checked event into a record; revision, position and checksum
// are still to come.
func encode(e *banyan.Event) Record {
	return Record{
		ID:       e.ID,
		Type:     e.Type,
		Schema:   int32(e.Schema),
		Stream:   e.Stream,
		Time:     e.Time.UnixMicro(),
		Recorded: e.Recorded.UnixMicro(),
		Source:   e.Source,
		Data:     e.Data,
		Meta:     encodeMeta(e.Meta, e.ContentType),
	}
}

// Event verifies the checksum and turns the record into an event. A mismatch is
// an error of kind banyan.ErrCorrupt: damaged bytes are never served.
func (r *Record) Event() (banyan.Event, error) {
	if sum := r.Sum(); sum != r.Checksum {
		return banyan.Event{}, fmt.Errorf("event %s (%s@%d, position %d): %w: checksum is %08x, stored %08x", r.ID, r.Stream, r.Revision, r.Position, banyan.ErrCorrupt, sum, r.Checksum)
	}
	e := banyan.Event{
		ID:       r.ID,
		Type:     r.Type,
		Schema:   int(r.Schema),
		Stream:   r.Stream,
		Revision: r.Revision,
		Position: r.Position,
		Time:     time.UnixMicro(r.Time).UTC(),
		Recorded: time.UnixMicro(r.Recorded).UTC(),
		Source:   r.Source,
		Data:     r.Data,
	}
	if len(r.Meta) == 0 {
		return e, nil
	}
	var err error
	if e.Meta, e.ContentType, err = decodeMeta(r.Meta); err != nil {
		return banyan.Event{}, fmt.Errorf("event %s (%s@%d): metadata: %w: %w", r.ID, r.Stream, r.Revision, banyan.ErrCorrupt, err)
	}
	return e, nil
}

// The keys of the stored metadata. They are part of the stored format.
const (
	keyCorrelation = "correlation"
	keyCausation   = "causation"
	keyActor       = "actor"
	keyTenant      = "tenant"
	keyTraceParent = "traceparent"
	keyContentType = "contenttype"
)

// encodeMeta writes a flat JSON object of strings, the fixed keys first and the
// user's in alphabetical order, so that equal metadata has equal bytes.
func encodeMeta(m banyan.Metadata, contentType string) []byte {
	if m.IsZero() && contentType == "" {
		return nil
	}
	w := metaWriter{out: make([]byte, 0, 192)}
	w.pair(keyCorrelation, m.Correlation)
	w.pair(keyCausation, m.Causation)
	w.pair(keyActor, m.Actor)
	w.pair(keyTenant, m.Tenant)
	w.pair(keyTraceParent, m.TraceParent)
	w.pair(keyContentType, contentType)
	keys := make([]string, 0, len(m.Extra))
	for k := range m.Extra {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		w.pair(k, m.Extra[k])
	}
	if len(w.out) == 0 {
		return nil
	}
	return append(w.out, '}')
}

type metaWriter struct{ out []byte }

func (w *metaWriter) pair(key, value string) {
	if value == "" {
		return
	}
	if len(w.out) == 0 {
		w.out = append(w.out, '{')
	} else {
		w.out = append(w.out, ',')
	}
	w.str(key)
	w.out = append(w.out, ':')
	w.str(value)
}

func (w *metaWriter) str(s string) {
	if plain(s) {
		w.out = append(w.out, '"')
		w.out = append(w.out, s...)
		w.out = append(w.out, '"')
		return
	}
	b, _ := json.Marshal(s) // a string always encodes
	w.out = append(w.out, b...)
}

// plain reports whether s stands for itself between quotes in JSON.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// decodeMeta reads what encodeMeta wrote. The short form without escapes, which
// is nearly all there is, is read by hand: encoding/json would take longer than
// the database does for the whole row.
func decodeMeta(data []byte) (banyan.Metadata, string, error) {
	var m banyan.Metadata
	var contentType string
	set := func(key, value string) {
		switch key {
		case keyCorrelation:
			m.Correlation = value
		case keyCausation:
			m.Causation = value
		case keyActor:
			m.Actor = value
		case keyTenant:
			m.Tenant = value
		case keyTraceParent:
			m.TraceParent = value
		case keyContentType:
			contentType = value
		default:
			if m.Extra == nil {
				m.Extra = map[string]string{}
			}
			m.Extra[key] = value
		}
	}
	if scanPlain(string(data), set) {
		return m, contentType, nil
	}
	m, contentType = banyan.Metadata{}, ""
	var pairs map[string]string
	if err := json.Unmarshal(data, &pairs); err != nil {
		return m, "", err
	}
	for k, v := range pairs {
		set(k, v)
	}
	return m, contentType, nil
}

// scanPlain reads {"k":"v",…} without white space or escapes and reports
// whether that is what s was. On false, set may have been called for a part.
func scanPlain(s string, set func(key, value string)) bool {
	if len(s) < 2 || s[0] != '{' {
		return false
	}
	s = s[1:]
	for {
		key, rest, ok := scanString(s)
		if !ok || len(rest) == 0 || rest[0] != ':' {
			return false
		}
		value, rest, ok := scanString(rest[1:])
		if !ok || len(rest) == 0 {
			return false
		}
		set(key, value)
		if rest == "}" {
			return true
		}
		if rest[0] != ',' {
			return false
		}
		s = rest[1:]
	}
}

func scanString(s string) (value, rest string, ok bool) {
	if len(s) < 2 || s[0] != '"' {
		return "", "", false
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[1:i], s[i+1:], true
		case c == '\\' || c < 0x20 || c >= 0x7f:
			return "", "", false
		}
	}
	return "", "", false
}
