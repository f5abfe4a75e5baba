package banyan_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/banyanhq/banyan"
)

func fullEvent() banyan.Event {
	return banyan.Event{
		ID: "account-1/c/1", Type: "order.placed", Schema: 3, Stream: "order-536365", Revision: 7, Position: 1 << 40,
		Time:     time.Date(2010, 12, 1, 8, 26, 0, 123456000, time.UTC),
		Recorded: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Source:   "/shop/orders", Data: []byte(`{"a": 1.50, "b": "<&>"}`),
		Meta: banyan.Metadata{
			Correlation: "p", Causation: "c", Actor: "ann", Tenant: "acme",
			TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			Extra:       map[string]string{"shopregion": "eu", "My Key": "v", "revision": "mine", "empty": ""},
		},
	}
}

func TestCloudEventText(t *testing.T) {
	t.Parallel()
	data, err := fullEvent().CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"specversion":"1.0","id":"account-1/c/1","source":"/shop/orders","type":"order.placed",` +
		`"subject":"order-536365","time":"2010-12-01T08:26:00.123456Z","schemaversion":3,"revision":"7",` +
		`"position":"1099511627776","recordedtime":"2026-01-02T03:04:05Z","correlationid":"p","causationid":"c",` +
		`"actor":"ann","tenant":"acme","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",` +
		`"shopregion":"eu","banyanextra":"{\"extra\":{\"My Key\":\"v\",\"empty\":\"\",\"revision\":\"mine\"}}",` +
		`"data":{"a": 1.50, "b": "<&>"}}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
}

// The official SDK reads what we write, finds it valid, and sees the same.
func TestCloudEventIsReadByTheSDK(t *testing.T) {
	t.Parallel()
	binary := fullEvent()
	binary.ContentType, binary.Data = "application/octet-stream", []byte{0, 255, 10}
	text := fullEvent()
	text.ContentType, text.Data = "text/plain; charset=utf-8", []byte("a \"quoted\" line\n")
	bare := banyan.Event{ID: "1", Type: "t"}
	spaced := fullEvent()
	spaced.Data, spaced.Source = []byte(" {} \n"), "not a URI"
	for name, e := range map[string]banyan.Event{"json": fullEvent(), "binary": binary, "text": text, "bare": bare, "spaced": spaced} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sdk := readBySDK(t, e)
			if sdk.ID() != e.ID || sdk.Type() != e.Type || sdk.Subject() != e.Stream || !sdk.Time().Equal(e.Time) || sdk.DataContentType() != e.ContentType {
				t.Errorf("the SDK read %v", sdk)
			}
			if string(sdk.Data()) != string(e.Data) {
				t.Errorf("the SDK read data %q, want %q", sdk.Data(), e.Data)
			}
			for name, want := range map[string]string{"actor": e.Meta.Actor, "correlationid": e.Meta.Correlation, "traceparent": e.Meta.TraceParent, "shopregion": e.Meta.Extra["shopregion"]} {
				if got := sdk.Extensions()[name]; want != "" && got != want {
					t.Errorf("extension %s: the SDK read %v, want %q", name, got, want)
				}
			}
		})
	}
}

func readBySDK(t interface {
	Helper()
	Fatalf(string, ...any)
}, e banyan.Event,
) event.Event {
	t.Helper()
	data, err := e.CloudEvent()
	if err != nil {
		t.Fatalf("%v", err)
	}
	var sdk event.Event
	if err := json.Unmarshal(data, &sdk); err != nil {
		t.Fatalf("the SDK cannot read %s: %v", data, err)
	}
	if err := sdk.Validate(); err != nil {
		t.Fatalf("the SDK finds %s invalid: %v", data, err)
	}
	return sdk
}

// We read what the official SDK writes.
func TestParseCloudEventOfTheSDK(t *testing.T) {
	t.Parallel()
	at := time.Date(2020, 2, 29, 1, 2, 3, 4, time.FixedZone("", 3600))
	make := func(contentType string, data any) []byte {
		sdk := event.New()
		sdk.SetID("1")
		sdk.SetType("com.example.t")
		sdk.SetSource("https://example.com/a?b#c")
		sdk.SetSubject("order-1")
		sdk.SetTime(at)
		sdk.SetDataSchema("https://example.com/schema")
		sdk.SetExtension("flag", true)
		sdk.SetExtension("count", 42)
		sdk.SetExtension("revision", "abc")
		sdk.SetExtension("correlation", "kept")
		if err := sdk.SetData(contentType, data); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(sdk)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := banyan.Event{
		ID: "1", Type: "com.example.t", Source: "https://example.com/a?b#c", Stream: "order-1", Time: at.UTC(),
		Meta: banyan.Metadata{Extra: map[string]string{
			"dataschema": "https://example.com/schema", "flag": "true", "count": "42", "revision": "abc", "ce-correlation": "kept",
		}},
	}
	cases := map[string]struct{ in, want any }{
		"application/json":         {map[string]int{"a": 1}, `{"a":1}`},
		"application/vnd.x+json":   {[]byte(`[1]`), `[1]`},
		"text/plain":               {"hello", "hello"},
		"application/octet-stream": {[]byte{0, 254}, "\x00\xfe"},
		"application/xml":          {[]byte("<a/>"), "<a/>"},
		"text/json; charset=utf-8": {[]byte("{}"), "{}"},
	}
	for contentType, c := range cases {
		t.Run(contentType, func(t *testing.T) {
			got, err := banyan.ParseCloudEvent(make(contentType, c.in))
			if err != nil {
				t.Fatal(err)
			}
			want := want
			want.ContentType, want.Data = contentType, []byte(fmt.Sprint(c.want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			sdk := readBySDK(t, got) // and on to the next
			if sdk.Extensions()["correlation"] != "kept" || sdk.DataSchema() != "https://example.com/schema" {
				t.Errorf("passed on, it has lost something: %v", sdk)
			}
		})
	}
}

func TestCloudEventRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*banyan.Event){
		"no id":       func(e *banyan.Event) { e.ID = "" },
		"no type":     func(e *banyan.Event) { e.Type = "" },
		"bad UTF-8":   func(e *banyan.Event) { e.Meta.Extra = map[string]string{"k": "\xff"} },
		"year 10000":  func(e *banyan.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"year before": func(e *banyan.Event) { e.Recorded = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) },
	}
	for name, change := range cases {
		e := fullEvent()
		change(&e)
		if _, err := e.CloudEvent(); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestParseCloudEventRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, `null`, `[]`, `{}`, `{"specversion":"0.3","id":"1","source":"s","type":"t"}`,
		`{"specversion":"1.0","source":"s","type":"t"}`,
		`{"specversion":"1.0","id":"1","type":"t"}`,
		`{"specversion":"1.0","id":"1","source":"s"}`,
		`{"specversion":"1.0","id":"1","source":"s","type":null}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","x":{}}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"yesterday"}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":"AA=="}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"?"}`,
		"{\"specversion\":\"1.0\",\"id\":\"\xff\",\"source\":\"s\",\"type\":\"t\"}",
	} {
		if _, err := banyan.ParseCloudEvent([]byte(text)); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// sameEvent compares events as a store would: no difference between no data and
// empty data, or between no pairs and an empty map.
var sameEvent = cmpopts.EquateEmpty()

func TestCloudEventLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawEvent(t)
		data, err := want.CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		got, err := banyan.ParseCloudEvent(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(want, got, sameEvent); diff != "" {
			t.Fatalf("%s: %s", data, diff)
		}
		if sdk := readBySDK(t, want); string(sdk.Data()) != string(want.Data) {
			t.Fatalf("the SDK read data %q, want %q", sdk.Data(), want.Data)
		}
	})
}

func drawEvent(t *rapid.T) banyan.Event {
	printable := rapid.StringMatching(`[ -~äß€😀]{0,20}`)
	name := rapid.StringMatching(`[ -~]{0,5}[a-z0-9./-]{1,12}`)
	key := rapid.OneOf(name, rapid.SampledFrom([]string{
		"id", "data", "source", "dataschema", "revision", "banyanextra", "correlation", "ce-correlation", "ce-x", "tenant", "recordedtime",
		"a", "specversion", "data_base64", "twentyonecharactersxx", "contenttype", "ce-contenttype",
	}))
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.UnixMicro(rapid.Int64Range(-62135596800_000_000, 253402300799_999_999).Draw(t, "time")).UTC()
	})
	e := banyan.Event{
		ID: name.Draw(t, "id"), Type: name.Draw(t, "type"), Stream: notBlank(printable.Draw(t, "stream")),
		Schema:   rapid.IntRange(0, 1<<40).Draw(t, "schema"),
		Revision: banyan.Revision(rapid.Int64().Draw(t, "revision")),
		Position: banyan.Position(rapid.Int64().Draw(t, "position")),
		Time:     instant.Draw(t, "time"), Recorded: instant.Draw(t, "recorded"),
		Source:      rapid.OneOf(printable, rapid.SampledFrom([]string{"banyan:store", "/shop", "urn:x:y", "http://h/p?q#f", "a b", "%zz", ":"})).Draw(t, "source"),
		ContentType: rapid.SampledFrom([]string{"", "application/json", "application/x+json; charset=utf-8", "text/plain", "image/png", "application/xml", "odd;;"}).Draw(t, "content type"),
		Meta: banyan.Metadata{
			Correlation: printable.Draw(t, "correlation"), Causation: printable.Draw(t, "causation"),
			Actor: printable.Draw(t, "actor"), Tenant: printable.Draw(t, "tenant"), TraceParent: printable.Draw(t, "trace"),
			Extra: rapid.MapOf(key, printable).Draw(t, "extra"),
		},
	}
	e.Data = rapid.OneOf(
		rapid.SliceOf(rapid.Byte()),
		rapid.Map(rapid.SampledFrom([]string{`{}`, ` {}`, `null`, `"text"`, `1.50`, `{"a":1,"a":2}`, "[\n1 ]", "\"\xff\"", `tr`, "text\n"}), func(s string) []byte { return []byte(s) }),
	).Draw(t, "data")
	return e
}

// notBlank keeps streams that consist of spaces from the SDK, which takes a blank
// subject for an empty one.
func notBlank(s string) string {
	if strings.TrimSpace(s) == "" {
		return ""
	}
	return s
}

func FuzzParseCloudEvent(f *testing.F) {
	data, err := fullEvent().CloudEvent()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"banyan:store","type":"t","banyanextra":"{\"extra\":{\"id\":\"\"}}","data":"x"}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"text/plain","data":[1]}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"0001-01-01T00:00:00+23:00","data_base64":"AA=="}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := banyan.ParseCloudEvent(data)
		if err != nil {
			return
		}
		text, err := first.CloudEvent()
		if err != nil {
			if !errors.Is(err, banyan.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		second, err := banyan.ParseCloudEvent(text)
		if err != nil {
			t.Fatalf("%s became %s: %v", data, text, err)
		}
		if diff := cmp.Diff(first, second, sameEvent); diff != "" {
			t.Fatalf("%s became %s: %s", data, text, diff)
		}
	})
}
