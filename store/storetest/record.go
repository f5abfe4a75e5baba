package storetest

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// recordChecks are about giving back every field unchanged.
func recordChecks() []check {
	return []check{
		{"DataIsKeptByteForByte", dataIsKeptByteForByte},
		{"LargeData", largeData},
		{"TextIsKept", textIsKept},
		{"LongestNames", longestNames},
		{"MetadataIsKept", metadataIsKept},
		{"TimesAreKept", timesAreKept},
		{"SchemaIsKept", schemaIsKept},
		{"UnusualRecords", unusualRecords},
	}
}

// kept stores events in one append and reads them in every way there is.
func (k *kit) kept(stream string, events ...banyan.Event) {
	k.Helper()
	before := len(k.pages(store.Filter{}, 1000))
	c := k.commit(write(stream, store.NoStream, events...))
	k.keptRecords(c, before)
	for i, got := range k.readBack(stream) {
		want := events[i]
		if got.Type != want.Type || !bytes.Equal(got.Data, want.Data) || got.ContentType != want.ContentType || got.Source != want.Source ||
			fmt.Sprint(got.Meta) != fmt.Sprint(want.Meta) || (!want.Time.IsZero() && !got.Time.Equal(want.Time)) {
			k.Fatalf("event %d is read as\n%+v; want\n%+v", i, got, want)
		}
	}
}

// readBack reads a stream through Store, which verifies checksums.
func (k *kit) readBack(stream string) []banyan.Event {
	k.Helper()
	var out []banyan.Event
	for e, err := range k.st.Read(k.ctx, stream, store.ReadOptions{}) {
		if err != nil {
			k.Fatalf("Read: %v", err)
		}
		out = append(out, e)
	}
	return out
}

func (k *kit) keptRecords(c store.Commit, before int) {
	k.Helper()
	want := make([]store.Record, len(c.Sections[0].Records))
	ids := make([]string, len(want))
	for i, r := range c.Sections[0].Records {
		r.Revision = banyan.Revision(i + 1)
		r.Checksum = r.Sum()
		want[i], ids[i] = r, r.ID
	}
	k.same("answer", k.put(c), want)
	k.same("ReadStream", k.stream(want[0].Stream), want)
	k.same("ReadAll", k.log(before + len(want))[before:], want)
	found := k.lookup(ids...)
	for i, id := range ids {
		k.same("Lookup", []store.Record{found[id]}, want[i:i+1])
	}
	o := k.append(c)[0]
	k.firstResult(o, want)
}

func dataIsKeptByteForByte(k *kit) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	var events []banyan.Event
	for _, data := range [][]byte{{}, {0}, {0, 0, 0}, every, []byte("\xff\xfe not UTF-8 \xc3"), []byte(" padded "), []byte("\r\n"), bytes.Repeat([]byte{0}, 5000)} {
		events = append(events, banyan.Event{Type: "x", ContentType: "application/octet-stream", Data: data})
	}
	// JSON that a JSON column would change.
	for _, data := range []string{`{"b":1,  "a":2, "a":3}`, `1.000000000000000000001`, `1e400`, `"\u0041\u0000"`, "\n[ ]\t", `null`} {
		events = append(events, banyan.Event{Type: "x", Data: []byte(data)})
	}
	k.kept("a-1", events...)
}

func largeData(k *kit) {
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	k.kept("a-1", banyan.Event{Type: "x", ContentType: "application/octet-stream", Data: data}, event("x", "1"),
		banyan.Event{Type: "x", Data: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)})
}

const text = "ünïcödé 日本語 🦫 \u200d e\u0301 ' \" \\ % _ ; -- \u2028"

func textIsKept(k *kit) {
	k.kept("a-"+text, banyan.Event{ID: text, Type: text, Source: text, ContentType: text, Data: []byte(text)})
}

func longestNames(k *kit) {
	long := func(n int) string { return strings.Repeat("é", n/2) }
	k.kept(long(500), banyan.Event{ID: long(200), Type: long(200), Source: long(500), ContentType: long(200), Data: []byte("x")})
	k.same("by prefix", k.pages(store.Filter{Prefixes: []string{long(500)}, Types: []string{long(200)}}, 10), k.stream(long(500)))
}

func metadataIsKept(k *kit) {
	full := banyan.Metadata{Correlation: "c", Causation: "d", Actor: text, Tenant: "t", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Extra: map[string]string{"k": "v", text: text, "large": strings.Repeat("m", 60<<10)}}
	k.kept("a-1",
		banyan.Event{Type: "x", Data: []byte("{}")},
		banyan.Event{Type: "x", Data: []byte("{}"), Meta: banyan.Metadata{Actor: "a"}},
		banyan.Event{Type: "x", Data: []byte("{}"), Meta: banyan.Metadata{Extra: map[string]string{"k": `quote " and \`}}},
		banyan.Event{Type: "x", ContentType: "text/plain", Data: []byte("{}"), Meta: full},
	)
}

func timesAreKept(k *kit) {
	var events []banyan.Event
	for _, at := range []time.Time{
		time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC),
		time.Date(1600, 2, 29, 23, 59, 59, 999_999_000, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		time.Unix(0, 0).UTC(),
		time.Date(2010, 12, 1, 8, 26, 0, 123_456_000, time.UTC),
		time.Date(2026, 3, 29, 3, 30, 0, 0, time.FixedZone("CEST", 7200)),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	} {
		events = append(events, banyan.Event{Type: "x", Data: []byte("1"), Time: at})
	}
	k.kept("a-1", events...)
}

func schemaIsKept(k *kit) {
	for i, schema := range []int{1, 2, 1 << 30} {
		stream := fmt.Sprintf("a-%d", i)
		k.kept(stream, banyan.Event{Type: "x", Schema: schema, Data: []byte("1")})
		if got := k.readBack(stream)[0].Schema; got != schema {
			k.Fatalf("schema %d is read as %d", schema, got)
		}
	}
}

// unusualRecords has what Store does not make today but may one day, and the
// record can hold.
func unusualRecords(k *kit) {
	records := []store.Record{
		{ID: "1", Type: "x", Schema: 1, Stream: "a-1", Time: math.MinInt64, Recorded: math.MaxInt64},
		{ID: "2", Type: "x", Schema: math.MaxInt32, Stream: "a-1", Source: "s", Data: []byte("d"), Meta: []byte(`{ "actor" : "not in our form" }`)},
		{ID: "3", Type: "x", Schema: 1, Stream: "a-1", Time: -1, Recorded: 1, Data: []byte{}, Meta: []byte{}},
	}
	k.keptRecords(store.Commit{Sections: []store.Section{{Stream: "a-1", Expect: store.NoStream, Records: records}}}, 0)
}
