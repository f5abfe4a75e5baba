package shop

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/orders"
)

// A call in the process is a call like any other: it has a body, a status, and an
// end when its context ends.
func TestLocal(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	defer close(stuck)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo/{x}", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Path", r.PathValue("x")+" "+r.Host+" "+r.RequestURI)
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot) // too late
		_, _ = w.Write(text)
	})
	mux.HandleFunc("/nothing", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("oh") })
	mux.HandleFunc("/stuck", func(http.ResponseWriter, *http.Request) { <-stuck })
	client := &http.Client{Transport: local{mux}}
	do := func(ctx context.Context, method, path string) (*http.Response, string, error) {
		req, err := http.NewRequestWithContext(ctx, method, "http://users"+path, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return res, string(text), err
	}
	res, text, err := do(t.Context(), "POST", "/echo/a%2Fb?c=d")
	if err != nil || res.StatusCode != http.StatusAccepted || text != "hello" || res.Header.Get("X-Path") != "a/b users /echo/a%2Fb?c=d" || res.ContentLength != 5 {
		t.Errorf("%+v %q %v", res, text, err)
	}
	if res, text, err = do(t.Context(), "GET", "/nothing"); err != nil || res.StatusCode != http.StatusOK || text != "" {
		t.Errorf("%+v %q %v", res, text, err)
	}
	if _, _, err := do(t.Context(), "GET", "/panic"); !errors.Is(err, banyan.ErrUnavailable) {
		t.Errorf("a panic: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, _, err := do(ctx, "GET", "/stuck"); !errors.Is(err, context.Canceled) {
		t.Errorf("a handler that does not heed its context: %v", err)
	}
}

// BenchmarkVet is what the two questions about an order cost, without the disk.
func BenchmarkVet(b *testing.B) {
	a, err := app.New(b.Context(), app.Config{Name: "x", StoreURL: "mem:", Listen: "none", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close() //nolint:errcheck // nothing is kept
	to := api.New(a.Mux(), "x")
	if err := errors.Join(serveUsers(a, a.Store, to), servePayments(a, a.Store, to)); err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(a.Mux())
	defer server.Close()
	for name, o := range map[string]*orders.ServicesOptions{
		"in process": {Users: "http://users", Payments: "http://payments", Transport: local{a.Mux()}},
		"loopback":   {Users: server.URL, Payments: server.URL},
	} {
		b.Run(name, func(b *testing.B) {
			s, err := orders.NewServices(o)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for b.Loop() {
				bill := orders.Bill{Number: "1", Customer: "17850", Content: banyan.NewID()}
				if r, err := s.Vet(b.Context(), orders.Placed{Bill: bill}); err != nil || r.By != "" {
					b.Fatal(r, err)
				}
			}
		})
	}
}
