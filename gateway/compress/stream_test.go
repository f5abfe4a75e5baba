package compress_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/compress"
	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/http1"
)

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func checkInvalid(t *testing.T, err error, want string) {
	t.Helper()
	if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an invalid configuration with %q", err, want)
	}
}

// Whatever is written and flushed in whatever pieces comes out as it was.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 3000), 0, 8).Draw(t, "pieces")
		flushes := rapid.SliceOfN(rapid.Bool(), 8, 8).Draw(t, "flushes")
		encoding := rapid.SampledFrom([]string{"gzip", "zstd"}).Draw(t, "encoding")
		level := rapid.SampledFrom([]string{"fast", "default", "best"}).Draw(t, "level")
		minimum := rapid.IntRange(0, 4000).Draw(t, "minimum")
		copies := rapid.Bool().Draw(t, "copies")
		p, err := compress.New(&compress.Config{Level: level, MinSize: minimum})
		if err != nil {
			t.Fatal(err)
		}
		h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			for i, piece := range pieces {
				if copies {
					_, err = http1.Copy(w, bytes.NewReader(piece))
				} else {
					_, err = w.Write(piece)
				}
				if err == nil && flushes[i] {
					err = http.NewResponseController(w).Flush()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}))
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		want := bytes.Join(pieces, nil)
		if got := decode(t, w.Header().Get("Content-Encoding"), w.Body); got != string(want) {
			t.Fatalf("%d bytes came out of %d", len(got), len(want))
		}
	})
}

// What is flushed reaches the client while the answer goes on.
func TestFlushedAtOnce(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"write", "copy"} {
		for _, encoding := range []string{"gzip", "zstd"} {
			t.Run(way+" "+encoding, func(t *testing.T) {
				t.Parallel()
				testFlushed(t, way, encoding)
			})
		}
	}
}

func testFlushed(t *testing.T, way, encoding string) {
	read := make(chan string, 10)
	h := wrap(t, &compress.Config{Types: []string{"text/event-stream"}}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		pr, pw := io.Pipe()
		copied := make(chan error, 1)
		if way == "copy" {
			go func() { copied <- func() error { _, err := http1.Copy(w, pr); return err }() }()
		}
		for i := range 5 {
			event := fmt.Sprintf("data: %d\n\n", i)
			if way == "copy" {
				_, _ = io.WriteString(pw, event)
			} else {
				_, _ = io.WriteString(w, event)
				_ = http.NewResponseController(w).Flush()
			}
			if got := <-read; got != event {
				t.Errorf("got %q, want %q", got, event)
			}
		}
		_ = pw.Close()
		if way == "copy" {
			if err := <-copied; err != nil {
				t.Error(err)
			}
		}
	}))
	gatetest.Each(t, h, func(t *testing.T, address string) {
		resp := gatetest.Fetch(t, gatetest.To(t, http.MethodGet, address, nil, "Accept-Encoding: "+encoding))
		if got := resp.Header.Get("Content-Encoding"); got != encoding {
			t.Fatalf("encoding %q", got)
		}
		in := bufio.NewReader(decoder(t, encoding, resp.Body))
		for range 5 {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			empty, _ := in.ReadString('\n')
			read <- line + empty
		}
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
			t.Errorf("at the end %q, %v", rest, err)
		}
	})
}

func TestTrailersAndInformationalAnswers(t *testing.T) {
	t.Parallel()
	for _, announced := range []bool{true, false} {
		for _, body := range []string{long, "short", ""} {
			h := wrap(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				h := w.Header()
				h.Set("Link", "</style.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
				h.Del("Link")
				h.Set("Content-Type", "text/plain")
				if announced {
					h.Set("Trailer", "X-Sum")
				}
				_, _ = io.WriteString(w, body)
				if announced {
					h.Set("X-Sum", "42")
				} else {
					h.Set(http.TrailerPrefix+"X-Sum", "42")
				}
			}))
			gatetest.Each(t, h, func(t *testing.T, address string) {
				var hints []http.Header
				resp := gatetest.Fetch(t, gatetest.Hints(gatetest.To(t, http.MethodGet, address, nil, "Accept-Encoding: gzip"), &hints))
				if got := decode(t, resp.Header.Get("Content-Encoding"), resp.Body); got != body {
					t.Errorf("body of %d bytes, want %d", len(got), len(body))
				}
				// net/http sends trailers of short answers only if they were announced,
				// and with some body.
				sent := strings.Contains(t.Name(), "http1") || announced && body != ""
				if got := resp.Trailer.Get("X-Sum"); got != "42" && sent {
					t.Errorf("trailer %q, announced %v, %d bytes", got, announced, len(body))
				}
				if len(hints) != 1 || hints[0].Get("Link") == "" || resp.Header.Get("Link") != "" {
					t.Errorf("early hints %v; Link %q", hints, resp.Header.Get("Link"))
				}
			})
		}
	}
}

// A WebSocket goes through on the raw connection.
func TestHijack(t *testing.T) {
	t.Parallel()
	h := wrap(t, &compress.Config{Requests: &compress.Requests{}}, gatetest.Switching(t))
	gatetest.Each(t, h, func(t *testing.T, address string) {
		gatetest.Switched(t, gatetest.Dial(t, address), "Accept-Encoding: gzip")
	})
}
