package compress_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/compress"
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
	each(t, h, func(t *testing.T, address string) {
		resp := fetch(t, http.MethodGet, address, nil, "Accept-Encoding: "+encoding)
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
			each(t, h, func(t *testing.T, address string) {
				hints := 0
				trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					if code == http.StatusEarlyHints && h.Get("Link") != "" {
						hints++
					}
					return nil
				}}
				r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "http://"+address, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Accept-Encoding", "gzip")
				resp, err := client(t).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if got := decode(t, resp.Header.Get("Content-Encoding"), resp.Body); got != body {
					t.Errorf("body of %d bytes, want %d", len(got), len(body))
				}
				// net/http sends trailers of short answers only if they were announced,
				// and with some body.
				sent := strings.Contains(t.Name(), "http1") || announced && body != ""
				if got := resp.Trailer.Get("X-Sum"); got != "42" && sent {
					t.Errorf("trailer %q, announced %v, %d bytes", got, announced, len(body))
				}
				if hints != 1 || resp.Header.Get("Link") != "" {
					t.Errorf("%d early hints; Link %q", hints, resp.Header.Get("Link"))
				}
			})
		}
	}
}

// A WebSocket goes through on the raw connection.
func TestHijack(t *testing.T) {
	t.Parallel()
	h := wrap(t, &compress.Config{Requests: &compress.Requests{}}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(conn, "echo "+line)
	}))
	each(t, h, func(t *testing.T, address string) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAccept-Encoding: gzip\r\n\r\n")
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v %v", resp, err)
		}
		fmt.Fprint(conn, "hello\n")
		if all, err := io.ReadAll(in); err != nil || string(all) != "echo hello\n" {
			t.Errorf("got %q, %v", all, err)
		}
	})
}
