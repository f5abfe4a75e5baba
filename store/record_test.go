package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

func sample() store.Record {
	return store.Record{
		ID: "id-1", Type: "order.placed", Schema: 3, Stream: "order-1", Revision: 7, Position: 99,
		Time: 1291190760123456, Recorded: 1291190760123999, Source: "/shop", Data: []byte(`{"total":"9.90"}`), Meta: []byte(`{"actor":"eve"}`),
	}
}

// flips calls f with every record that differs from r in one bit of what the
// checksum covers.
func flips(r store.Record, f func(what string, damaged store.Record)) {
	text := func(name string, get func(*store.Record) *string) {
		for i := range 8 * len(*get(&r)) {
			d := r
			b := []byte(*get(&d))
			b[i/8] ^= 1 << (i % 8)
			*get(&d) = string(b)
			f(fmt.Sprintf("%s bit %d", name, i), d)
		}
	}
	text("id", func(r *store.Record) *string { return &r.ID })
	text("type", func(r *store.Record) *string { return &r.Type })
	text("stream", func(r *store.Record) *string { return &r.Stream })
	text("source", func(r *store.Record) *string { return &r.Source })
	data := func(name string, get func(*store.Record) *[]byte) {
		for i := range 8 * len(*get(&r)) {
			d := r
			b := append([]byte(nil), *get(&d)...)
			b[i/8] ^= 1 << (i % 8)
			*get(&d) = b
			f(fmt.Sprintf("%s bit %d", name, i), d)
		}
	}
	data("data", func(r *store.Record) *[]byte { return &r.Data })
	data("meta", func(r *store.Record) *[]byte { return &r.Meta })
	for i := range 64 {
		d := r
		d.Revision ^= 1 << i
		f(fmt.Sprintf("revision bit %d", i), d)
		d = r
		d.Time ^= 1 << i
		f(fmt.Sprintf("time bit %d", i), d)
		d = r
		d.Recorded ^= 1 << i
		f(fmt.Sprintf("recorded bit %d", i), d)
	}
	for i := range 32 {
		d := r
		d.Schema ^= 1 << i
		f(fmt.Sprintf("schema bit %d", i), d)
		d = r
		d.Checksum ^= 1 << i
		f(fmt.Sprintf("checksum bit %d", i), d)
	}
}

func TestChecksumFindsEveryFlippedBit(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Checksum = r.Sum()
	if _, err := r.Event(); err != nil {
		t.Fatal(err)
	}
	n := 0
	flips(r, func(what string, damaged store.Record) {
		n++
		if _, err := damaged.Event(); !errors.Is(err, banyan.ErrCorrupt) {
			t.Errorf("%s: error %v; want kind %q", what, err, banyan.ErrCorrupt)
		}
	})
	if n < 700 {
		t.Fatalf("%d bits were flipped; want all", n)
	}
}

func TestChecksumKnowsWhereAFieldEnds(t *testing.T) {
	t.Parallel()
	r := sample()
	sum := r.Sum()
	moved := r
	moved.ID, moved.Type = r.ID+r.Type[:1], r.Type[1:]
	if moved.Sum() == sum {
		t.Error("a byte moved from the type into the id unseen")
	}
	moved = r
	moved.Data, moved.Meta = append(append([]byte(nil), r.Data...), r.Meta[0]), r.Meta[1:]
	if moved.Sum() == sum {
		t.Error("a byte moved from the metadata into the data unseen")
	}
	moved = r
	moved.Position++
	if moved.Sum() != sum {
		t.Error("the checksum covers the position, which is given later")
	}
}

// FuzzMeta encodes what Prepare admits and decodes it again.
func FuzzMeta(f *testing.F) {
	f.Add("c", "d", "eve", "t", "00-1-2-01", "text/plain", "key", "value")
	f.Add("", "", `q"uote`, `back\slash`, "é🦫", "", "\u2028", "<&>")
	f.Add("", "", "", "", "", "", "kéy", " ")
	st := open(f, nil)
	f.Fuzz(func(t *testing.T, correlation, causation, actor, tenant, trace, contentType, key, value string) {
		e := banyan.Event{ID: "1", Type: "x", ContentType: contentType, Data: []byte("1"), Meta: banyan.Metadata{
			Correlation: correlation, Causation: causation, Actor: actor, Tenant: tenant, TraceParent: trace,
		}}
		if key != "" {
			e.Meta.Extra = map[string]string{key: value}
		}
		commit, err := st.Prepare(t.Context(), []store.Write{{Stream: "a-1", Events: []banyan.Event{e}}})
		if err != nil {
			if !errors.Is(err, banyan.ErrInvalid) {
				t.Fatalf("Prepare: %v", err)
			}
			return
		}
		r := commit.Sections[0].Records[0]
		r.Checksum = r.Sum()
		got, err := r.Event()
		if err != nil {
			t.Fatalf("%q: %v", r.Meta, err)
		}
		if len(r.Meta) > 0 && !json.Valid(r.Meta) {
			t.Fatalf("%q is not JSON", r.Meta)
		}
		if contentType == banyan.JSON {
			contentType = ""
		}
		if d := cmp.Diff(e.Meta, got.Meta, cmpopts.EquateEmpty()); d != "" || got.ContentType != contentType {
			t.Fatalf("content type %q, want %q; metadata (-want +got):\n%s", got.ContentType, contentType, d)
		}
	})
}

// FuzzMetaBytes decodes any bytes as encoding/json does, its reference.
func FuzzMetaBytes(f *testing.F) {
	for _, s := range []string{`{"actor":"eve","k":"v"}`, `{}`, `{"a":"b","a":"c"}`, `{ "a" : "b" }`, `{"a":1}`, `{"a":"\u00e9\n"}`, `{"a":"b",}`, `{"a":"b"}x`, `[]`, `null`, `{"a":null}`, "{\"a\":\"\xff\"}", `{"":""}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, meta []byte) {
		r := sample()
		r.Meta = meta
		r.Checksum = r.Sum()
		e, err := r.Event()
		var want map[string]string
		wantErr := json.Unmarshal(meta, &want)
		if len(meta) == 0 {
			wantErr = nil
		}
		if (err == nil) != (wantErr == nil) || (err != nil && !errors.Is(err, banyan.ErrCorrupt)) {
			t.Fatalf("%q: error %v; encoding/json says %v", meta, err, wantErr)
		}
		if err != nil {
			return
		}
		got := maps.Clone(e.Meta.Extra)
		if got == nil {
			got = map[string]string{}
		}
		for key, value := range map[string]string{"correlation": e.Meta.Correlation, "causation": e.Meta.Causation, "actor": e.Meta.Actor, "tenant": e.Meta.Tenant, "traceparent": e.Meta.TraceParent, "contenttype": e.ContentType} {
			if value != "" || want[key] != "" {
				got[key] = value
			} else if _, there := want[key]; there {
				got[key] = ""
			}
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("%q (-want +got):\n%s", meta, d)
		}
	})
}

func TestRecordKeepsTimes(t *testing.T) {
	t.Parallel()
	st := open(t, &store.Options{Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.Local) }})
	at := time.Date(2010, 12, 1, 8, 26, 0, 123_456_789, time.FixedZone("", 3600))
	e := event("")
	e.Time = at
	result, err := st.Append(t.Context(), "a-1", store.NoStream, e, event(""))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := result.Events[0].Time, at.UTC().Truncate(time.Microsecond); got != want {
		t.Errorf("time %v; want %v", got, want)
	}
	if got, want := result.Events[1].Recorded, time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.Local).UTC(); got != want || result.Events[1].Time != want {
		t.Errorf("recorded %v, time %v; want %v", got, result.Events[1].Time, want)
	}
}
