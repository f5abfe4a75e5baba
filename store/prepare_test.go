package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

func TestAppendRefusesWhatCanNeverSucceed(t *testing.T) {
	t.Parallel()
	st := open(t, &store.Options{MaxEventBytes: 100, MaxAppend: 3})
	with := func(change func(*banyan.Event)) []store.Write {
		e := event("")
		change(&e)
		return []store.Write{{Stream: "a-1", Expect: store.Any, Events: []banyan.Event{e}}}
	}
	long := strings.Repeat("x", 501)
	for name, c := range map[string]struct {
		writes []store.Write
		says   string
	}{
		"nothing":               {nil, "there is nothing to append"},
		"no event":              {[]store.Write{{Stream: "a-1"}}, "no event"},
		"no stream":             {[]store.Write{{Events: []banyan.Event{event("")}}}, "stream is empty"},
		"stream too long":       {[]store.Write{{Stream: long, Events: []banyan.Event{event("")}}}, "501 bytes"},
		"stream not UTF-8":      {[]store.Write{{Stream: "a-\xff", Events: []banyan.Event{event("")}}}, "UTF-8"},
		"stream with control":   {[]store.Write{{Stream: "a-\n", Events: []banyan.Event{event("")}}}, "control character"},
		"stream twice":          {[]store.Write{{Stream: "a-1", Events: []banyan.Event{event("")}}, {Stream: "a-1", Events: []banyan.Event{event("")}}}, "appears twice"},
		"bad expectation":       {[]store.Write{{Stream: "a-1", Expect: -3, Events: []banyan.Event{event("")}}}, "means nothing"},
		"too many":              {[]store.Write{{Stream: "a-1", Events: []banyan.Event{event(""), event(""), event(""), event("")}}}, "more than 3 events"},
		"too many in all":       {[]store.Write{{Stream: "a-1", Events: []banyan.Event{event(""), event("")}}, {Stream: "b-1", Events: []banyan.Event{event(""), event("")}}}, "more than 3 events"},
		"id twice":              {[]store.Write{{Stream: "a-1", Events: []banyan.Event{event("x"), event("x")}}}, "event id x appears twice"},
		"id twice in streams":   {[]store.Write{{Stream: "a-1", Events: []banyan.Event{event("x")}}, {Stream: "b-1", Events: []banyan.Event{event("x")}}}, "event id x appears twice"},
		"no type":               {with(func(e *banyan.Event) { e.Type = "" }), "type is empty"},
		"type too long":         {with(func(e *banyan.Event) { e.Type = long[:201] }), "201 bytes"},
		"reserved type":         {with(func(e *banyan.Event) { e.Type = "banyan.mine" }), "reserved"},
		"id too long":           {with(func(e *banyan.Event) { e.ID = long[:201] }), "201 bytes"},
		"id with NUL":           {with(func(e *banyan.Event) { e.ID = "\x00" }), "control character"},
		"negative schema":       {with(func(e *banyan.Event) { e.Schema = -1 }), "schema version"},
		"huge schema":           {with(func(e *banyan.Event) { e.Schema = 1<<30 + 1 }), "schema version"},
		"not JSON":              {with(func(e *banyan.Event) { e.Data = []byte("{") }), "not JSON"},
		"no data":               {with(func(e *banyan.Event) { e.Data = nil }), "not JSON"},
		"too large":             {with(func(e *banyan.Event) { e.Data = []byte(`"` + long + `"`) }), "more than 100"},
		"year 0":                {with(func(e *banyan.Event) { e.Time = time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC) }), "years 1 to 9999"},
		"year 10000":            {with(func(e *banyan.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), "years 1 to 9999"},
		"source too long":       {with(func(e *banyan.Event) { e.Source = long }), "source"},
		"content type too long": {with(func(e *banyan.Event) { e.ContentType = long }), "content type"},
		"metadata with control": {with(func(e *banyan.Event) { e.Meta.Actor = "\x7f" }), "control character"},
		"reserved key":          {with(func(e *banyan.Event) { e.Meta.Extra = map[string]string{"actor": "x"} }), "reserved"},
		"empty key":             {with(func(e *banyan.Event) { e.Meta.Extra = map[string]string{"": "x"} }), "reserved"},
		"empty value":           {with(func(e *banyan.Event) { e.Meta.Extra = map[string]string{"k": ""} }), "no value"},
		"metadata too large":    {with(func(e *banyan.Event) { e.Meta.Extra = map[string]string{"k": strings.Repeat("v", 64<<10)} }), "metadata has"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := st.AppendAll(t.Context(), c.writes...)
			if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v; want kind %q that says %q", err, banyan.ErrInvalid, c.says)
			}
		})
	}
	t.Cleanup(func() {
		if head, err := st.Head(context.Background()); head != 0 || err != nil {
			t.Errorf("head %d, %v; a refused append was stored", head, err)
		}
	})
}

func TestAppendFillsWhatIsMissing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	st := open(t, &store.Options{Source: "/shop", Now: func() time.Time { return now }})
	ctx := banyan.WithMetadata(t.Context(), banyan.Metadata{Correlation: "c", Actor: "eve"})
	result, err := st.Append(ctx, "order-1", store.NoStream, banyan.Event{Type: "x", ContentType: banyan.JSON, Data: []byte("1"), Meta: banyan.Metadata{Actor: "adam"}})
	if err != nil {
		t.Fatal(err)
	}
	got := result.Events[0]
	if got.ID == "" || result.Token() != store.Token(got.ID) {
		t.Fatalf("id %q, token %q; want a new id", got.ID, result.Token())
	}
	want := banyan.Event{
		ID: got.ID, Type: "x", Schema: 1, Stream: "order-1", Revision: 1, Position: 1, Time: now, Recorded: now, Source: "/shop",
		Data: []byte("1"), Meta: banyan.Metadata{Correlation: "c", Actor: "adam"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("event (-want +got):\n%s", d)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, o := range []store.Options{{MaxEventBytes: -1}, {MaxAppend: -1}, {MaxGroup: -1}, {Poll: -1}} {
		if _, err := store.New(mem.Open().Backend(), &o); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%+v: error %v; want kind %q", o, err, banyan.ErrInvalid)
		}
	}
}

func TestEmptyResult(t *testing.T) {
	t.Parallel()
	if r := (store.Result{}); r.Revision() != 0 || r.Token() != "" {
		t.Fatalf("revision %d, token %q; want none", r.Revision(), r.Token())
	}
}
