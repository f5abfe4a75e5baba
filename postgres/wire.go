package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// This package speaks PostgreSQL's binary format by hand where it is hot: the
// client's share of an append, and of reading a page, is then a fraction of the
// server's instead of as much again.

var binaryFormat = []int16{1}

// session is a connection with the statements of a schema.
type session struct {
	conn  *pgx.Conn
	sql   *statements
	named bool
}

// query runs a statement and calls row for each row with the raw values, which
// are valid only during the call. What a statement did counts only when query
// returned nil: rows may arrive before a commit that fails.
func (s session) query(ctx context.Context, st *statement, args [][]byte, row func([][]byte) error) error {
	var rr *pgconn.ResultReader
	if s.named {
		description, err := s.conn.Prepare(ctx, st.name, st.text)
		if err != nil {
			return unsent(ctx, err)
		}
		rr = s.conn.PgConn().ExecStatement(ctx, description, args, binaryFormat, binaryFormat)
	} else {
		rr = s.conn.PgConn().ExecParams(ctx, st.text, args, nil, binaryFormat, binaryFormat)
	}
	var failed error
	for rr.NextRow() {
		if failed == nil {
			failed = row(rr.Values())
		}
	}
	if _, err := rr.Close(); err != nil {
		return err
	}
	return failed
}

// Object ids of the types in arrays: fixed in PostgreSQL for ever.
const (
	oidBytea       = 17
	oidInt8        = 20
	oidInt4        = 23
	oidText        = 25
	oidTimestamptz = 1184
)

// epoch is PostgreSQL's, 2000-01-01, in microseconds since 1970.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// encoder builds parameters in one buffer.
type encoder struct {
	buf    []byte
	params [][]byte
}

// array appends a one-dimensional array parameter of n elements, which each
// writes one of with its length.
func (e *encoder) array(oid uint32, n int, each func(buf []byte, i int) []byte) {
	start := len(e.buf)
	if n == 0 {
		e.buf = append(e.buf, make([]byte, 12)...) // no dimension
		binary.BigEndian.PutUint32(e.buf[start+8:], oid)
	} else {
		b := binary.BigEndian.AppendUint32(e.buf, 1) // dimensions
		b = binary.BigEndian.AppendUint32(b, 0)      // no nulls
		b = binary.BigEndian.AppendUint32(b, oid)
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		e.buf = binary.BigEndian.AppendUint32(b, 1) // first subscript
	}
	for i := range n {
		e.buf = each(e.buf, i)
	}
	e.params = append(e.params, e.buf[start:len(e.buf):len(e.buf)])
}

func (e *encoder) texts(list []string) {
	e.array(oidText, len(list), func(b []byte, i int) []byte { return appendText(b, list[i]) })
}

func (e *encoder) int8(v int64) {
	e.params = append(e.params, binary.BigEndian.AppendUint64(nil, uint64(v)))
}

func (e *encoder) int4(v int) {
	e.params = append(e.params, binary.BigEndian.AppendUint32(nil, uint32(int32(v))))
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func appendBytes(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

func appendInt8(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), uint64(v))
}

func appendInt4(b []byte, v int32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 4), uint32(v))
}

// records encodes the parameters of the insert statement.
func (e *encoder) records(rs []store.Record) {
	size := 0
	for i := range rs {
		r := &rs[i]
		size += 104 + len(r.ID) + len(r.Stream) + len(r.Type) + len(r.Source) + len(r.Meta) + len(r.Data)
	}
	e.buf = make([]byte, 0, size+11*20)
	n := len(rs)
	e.array(oidInt8, n, func(b []byte, i int) []byte { return appendInt8(b, int64(rs[i].Revision)) })
	e.array(oidTimestamptz, n, func(b []byte, i int) []byte { return appendInt8(b, rs[i].Time-epoch) })
	e.array(oidTimestamptz, n, func(b []byte, i int) []byte { return appendInt8(b, rs[i].Recorded-epoch) })
	e.array(oidInt8, n, func(b []byte, i int) []byte { return appendInt8(b, int64(rs[i].Checksum)) })
	e.array(oidInt4, n, func(b []byte, i int) []byte { return appendInt4(b, rs[i].Schema) })
	e.array(oidText, n, func(b []byte, i int) []byte { return appendText(b, rs[i].ID) })
	e.array(oidText, n, func(b []byte, i int) []byte { return appendText(b, rs[i].Stream) })
	e.array(oidText, n, func(b []byte, i int) []byte { return appendText(b, rs[i].Type) })
	e.array(oidText, n, func(b []byte, i int) []byte { return appendText(b, rs[i].Source) })
	e.array(oidText, n, func(b []byte, i int) []byte { return appendBytes(b, rs[i].Meta) })
	e.array(oidBytea, n, func(b []byte, i int) []byte { return appendBytes(b, rs[i].Data) })
	e.int4(n)
}

func getInt8(v []byte) int64 { return int64(binary.BigEndian.Uint64(v)) }
func getInt4(v []byte) int32 { return int32(binary.BigEndian.Uint32(v)) }

// decodeRecord reads recordColumns into r. It makes one string and one slice of
// bytes for each record and cuts the fields out of them.
func decodeRecord(v [][]byte, r *store.Record) error {
	if len(v) != 11 || len(v[4]) != 8 || len(v[5]) != 4 || len(v[6]) != 8 || len(v[7]) != 8 || len(v[8]) != 8 {
		return fmt.Errorf("%w: the server sent a row of another shape; was the schema changed by hand?", banyan.ErrCorrupt)
	}
	var fixed [512]byte
	text := append(append(append(append(fixed[:0], v[0]...), v[1]...), v[2]...), v[3]...)
	s := string(text)
	n1 := len(v[0])
	n2 := n1 + len(v[1])
	n3 := n2 + len(v[2])
	r.ID, r.Stream, r.Type, r.Source = s[:n1], s[n1:n2], s[n2:n3], s[n3:]
	r.Revision = banyan.Revision(getInt8(v[4]))
	r.Schema = getInt4(v[5])
	r.Time = getInt8(v[6]) + epoch
	r.Recorded = getInt8(v[7]) + epoch
	r.Checksum = uint32(getInt8(v[8]))
	nd := len(v[9])
	content := make([]byte, nd+len(v[10]))
	copy(content, v[9])
	copy(content[nd:], v[10])
	r.Data = content[:nd:nd]
	if len(v[10]) > 0 {
		r.Meta = content[nd:]
	}
	return nil
}
