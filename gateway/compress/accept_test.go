package compress_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/banyanhq/banyan/gateway/compress"
	"github.com/banyanhq/banyan/internal/gatetest"
)

var long = strings.Repeat("all work and no play ", 100)

func TestAcceptEncoding(t *testing.T) {
	t.Parallel()
	h := wrap(t, nil, gatetest.Page(0, long, "Content-Type: text/plain"))
	for _, c := range []struct{ name, accept, want string }{
		{"§12.5.3 empty: identity", "", ""},
		{"one", "gzip", "gzip"},
		{"upper case, §8.4.1", "GZIP", "gzip"},
		{"alias, §8.4.1.3", "x-gzip", "gzip"},
		{"both: the server's choice", "gzip, zstd", "zstd"},
		{"a browser", "gzip, deflate, br, zstd", "zstd"},
		{"weights", "gzip;q=1.0, zstd;q=0.5", "gzip"},
		{"weights with spaces, §5.6.6", "gzip ; q=0.4 ,\tzstd;q=0.8", "zstd"},
		{"three digits, §12.4.2", "gzip;q=0.501,zstd;q=0.500", "gzip"},
		{"zero is not acceptable", "gzip;q=0", ""},
		{"zero in another spelling", "gzip;q=0.000", ""},
		{"any", "*", "zstd"},
		{"any but one", "zstd;q=0, *", "gzip"},
		{"nothing", "*;q=0", ""},
		{"any counts for identity too", "*;q=0.5, gzip;q=0.2, zstd;q=0", ""},
		{"identity is liked better", "identity, gzip;q=0.5", ""},
		{"identity is liked as well", "identity, gzip", "gzip"},
		{"unknown ones", "br, deflate", ""},
		{"twice: the refusal counts", "gzip, gzip;q=0", ""},
		{"twice, the other way round", "gzip;q=0, gzip", ""},
		{"too large a weight is malformed", "gzip;q=1.5", ""},
		{"too many digits are malformed", "gzip;q=0.0001", ""},
		{"no number", "gzip;q=x, zstd;q=0.1", "zstd"},
		{"another parameter", "gzip;level=3", ""},
		{"garbage", ";;,,;q=,=", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := ask(h, http.MethodGet, "Accept-Encoding: "+c.accept)
			if got := w.Header().Get("Content-Encoding"); got != c.want {
				t.Errorf("Accept-Encoding %q: got %q, want %q", c.accept, got, c.want)
			}
			if got := decode(t, w.Header().Get("Content-Encoding"), w.Body); got != long {
				t.Errorf("body of %d bytes, want %d", len(got), len(long))
			}
			if got := w.Header().Values("Vary"); len(got) != 1 || got[0] != "Accept-Encoding" {
				t.Errorf("Vary %q, want Accept-Encoding whatever was chosen", got)
			}
		})
	}
	if got := ask(h, http.MethodGet).Header().Get("Content-Encoding"); got != "" {
		t.Errorf("without Accept-Encoding: got %q", got)
	}
	if got := ask(h, http.MethodGet, "Accept-Encoding: br", "Accept-Encoding: gzip").Header().Get("Content-Encoding"); got != "gzip" {
		t.Errorf("on the second line: got %q", got)
	}
}

func TestIdentityRefused(t *testing.T) {
	t.Parallel()
	h := wrap(t, nil, gatetest.Page(0, "short", "Content-Type: image/png"))
	for accept, want := range map[string]string{"gzip, identity;q=0": "gzip", "gzip, *;q=0": "gzip", "gzip, *;q=0, identity;q=0.1": "", "br, identity;q=0": ""} {
		w := ask(h, http.MethodGet, "Accept-Encoding: "+accept)
		if got := w.Header().Get("Content-Encoding"); got != want {
			t.Errorf("%q: got %q, want %q", accept, got, want)
		}
		if got := decode(t, want, w.Body); got != "short" {
			t.Errorf("%q: body %q", accept, got)
		}
	}
}

func TestOrderOfEncodings(t *testing.T) {
	t.Parallel()
	for _, list := range [][]string{{"gzip", "zstd"}, {"zstd", "gzip"}, {"gzip"}} {
		h := wrap(t, &compress.Config{Encodings: list}, gatetest.Page(0, long, "Content-Type: text/plain"))
		if got := ask(h, http.MethodGet, "Accept-Encoding: zstd, gzip").Header().Get("Content-Encoding"); got != list[0] {
			t.Errorf("%v: got %q", list, got)
		}
	}
}

// What comes out of zstd has to be readable by clients with the window of RFC 9659.
func TestWindow(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"fast", "default", "best"} {
		h := wrap(t, &compress.Config{Level: level}, gatetest.Page(0, strings.Repeat(long, 2000), "Content-Type: text/plain"))
		w := ask(h, http.MethodGet, "Accept-Encoding: zstd")
		r, err := zstd.NewReader(w.Body, zstd.WithDecoderMaxWindow(1<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if n, err := r.WriteTo(new(strings.Builder)); err != nil || n != int64(2000*len(long)) {
			t.Errorf("%s: %d bytes, %v", level, n, err)
		}
	}
}

func FuzzAcceptEncoding(f *testing.F) {
	for _, s := range []string{"gzip", "gzip;q=0.5, zstd", "*;q=0", "identity;q=0,*", ";q=;,", "gzip;q=0.0001"} {
		f.Add(s)
	}
	p, err := compress.New(nil)
	if err != nil {
		f.Fatal(err)
	}
	h := p.Handler(gatetest.Page(0, long, "Content-Type: text/plain"))
	f.Fuzz(func(t *testing.T, accept string) {
		w := ask(h, http.MethodGet, "Accept-Encoding: "+accept)
		encoding := w.Header().Get("Content-Encoding")
		if got := decode(t, encoding, w.Body); got != long {
			t.Errorf("%q: %d bytes in %q", accept, len(got), encoding)
		}
		lower := strings.ToLower(accept)
		if encoding != "" && !strings.Contains(lower, encoding) && !strings.Contains(lower, "*") {
			t.Errorf("%q: got %q, which it does not name", accept, encoding)
		}
		if encoding != "" {
			again := ask(h, http.MethodGet, "Accept-Encoding: "+accept, "Accept-Encoding: "+encoding+";q=0")
			if again.Header().Get("Content-Encoding") == encoding {
				t.Errorf("%q: %s although it is refused", accept, encoding)
			}
		}
	})
}
