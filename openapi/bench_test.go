package openapi_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/openapi"
)

// order is an order of 1 kB, with ten lines.
func order(lines int) string {
	var out strings.Builder
	out.WriteString(`{"number":"536365","customer":"17850","country":"United Kingdom","kind":"order","lines":[`)
	for i := range lines {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"sku":"85123A%d","text":"WHITE HANGING HEART T-LIGHT HOLDER","quantity":%d,"price":"2.55"}`, i, i+6)
	}
	out.WriteString("]}")
	return out.String()
}

func shopValidator(b testing.TB, o *openapi.Options) *openapi.Validator {
	b.Helper()
	d, err := openapi.Load("testdata/shop.yaml")
	if err != nil {
		b.Fatal(err)
	}
	v, err := openapi.NewValidator(d, o)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

func bytesReader(text string) *bytes.Reader { return bytes.NewReader([]byte(text)) }

func BenchmarkOrder(b *testing.B) {
	v, text := shopValidator(b, nil), []byte(order(10))
	r, _ := http.NewRequest(http.MethodPost, "/orders", nil)
	r.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"536365"}}
	r.ContentLength = int64(len(text))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r.Body = body{bytes.NewReader(text)}
		if _, p := v.Check(r); p != nil {
			b.Fatal(p.Errors)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	v := shopValidator(b, nil)
	r, _ := http.NewRequest(http.MethodGet, "/orders/536365", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, p := v.Check(r); p != nil {
			b.Fatal(p.Errors)
		}
	}
}

// A thousand operations cost no more than one, and are compiled in reasonable
// time.
func BenchmarkLargeDocument(b *testing.B) {
	var text strings.Builder
	text.WriteString(head + "paths:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "  /r%d/{id}:\n    get: {parameters: [{name: id, in: path, required: true, schema: {type: integer}}]}\n    post: {parameters: [{name: id, in: path, required: true, schema: {type: integer}}], requestBody: {content: {application/json: {schema: {type: object, properties: {a: {type: string}, b: {$ref: '#/components/schemas/S%d'}}}}}}}\n", i, i)
	}
	text.WriteString("components:\n  schemas:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "    S%d: {type: object, properties: {next: {$ref: '#/components/schemas/S%d'}, c: {type: array, items: {type: string}}}}\n", i, (i+1)%1000)
	}
	start := time.Now()
	d := parse(b, text.String())
	parsed := time.Since(start)
	v, err := openapi.NewValidator(d, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d bytes: parsed in %s, compiled in %s", text.Len(), parsed, time.Since(start)-parsed)
	r, _ := http.NewRequest(http.MethodGet, "/r777/7", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, p := v.Check(r); p != nil {
			b.Fatal(p)
		}
	}
}

// A body with half a million mistakes costs about as much as reading it.
func BenchmarkHopelessBody(b *testing.B) {
	v := shopValidator(b, &openapi.Options{MaxValues: 1 << 20})
	text := []byte(`{"number":"536365","customer":null,"lines":[` + strings.Repeat("1,", 500_000) + "1]}")
	r, _ := http.NewRequest(http.MethodPost, "/orders", nil)
	r.Header = http.Header{"Content-Type": {"application/json"}}
	r.ContentLength = int64(len(text))
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(bytes.NewReader(text))
		if _, p := v.Check(r); p == nil || len(p.Errors) != 20 {
			b.Fatal("it passed")
		}
	}
}
