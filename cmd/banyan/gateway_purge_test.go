package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
)

type priced struct {
	Product string `json:"product"`
}

// An event purges the answers that it makes old, and no others; with a projection
// in between, not before that has handled it.
func TestEventsPurge(t *testing.T) {
	t.Parallel()
	for _, behindOne := range []bool{false, true} {
		t.Run(fmt.Sprintf("behind %v", behindOne), func(t *testing.T) {
			t.Parallel()
			url := "sqlite:" + filepath.Join(t.TempDir(), "shop.db")
			db, err := app.Open(t.Context(), url, "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			log, err := db.Store(nil)
			if err != nil {
				t.Fatal(err)
			}
			var handled, may atomic.Bool
			names := ""
			may.Store(true)
			if behindOne {
				names = "prices"
				runProjection(t, db, log, &handled, &may)
			}
			var asked atomic.Int64
			behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Surrogate-Key", "product:"+r.URL.Path[1:])
				_, _ = io.WriteString(w, strconv.FormatInt(asked.Add(1), 10))
			}))
			defer behind.Close()
			address := freePort(t)
			out := started(t, fmt.Sprintf("listen: %s\nadmin: none\ncache: {events: [{store: %q, behind: [%s], purge: {product.priced: [\"product:{product}\"]}}]}\nupstreams: {app: %q}\nroutes: [{match: /, to: app, cache: {ttl: 1h}}]\n", address, url, names, behind.URL))
			get := func(path string) string {
				resp, err := http.Get("http://" + address + path) //nolint:noctx // a test
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				text, _ := io.ReadAll(resp.Body)
				return string(text)
			}
			changed := func(path, old string) string {
				for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-time.After(time.Millisecond) {
					if now := get(path); now != old {
						return now
					}
				}
				t.Fatalf("%s is never fetched again: %s", path, out)
				return ""
			}
			// The first thing that is purged is everything, when the log is first read;
			// so the second time that /z changes it is by an event.
			for range 2 {
				z := get("/z")
				appendPrice(t, log, "z")
				changed("/z", z)
			}
			a, b := get("/a"), get("/b")
			may.Store(false)
			handled.Store(false)
			appendPrice(t, log, "a")
			if behindOne {
				<-time.After(10 * glanceOfTest)
				if got := get("/a"); got != a {
					t.Errorf("purged before the projection had handled the event: %s after %s", got, a)
				}
				may.Store(true)
			}
			changed("/a", a)
			if behindOne && !handled.Load() {
				t.Error("purged before the projection had handled the event")
			}
			if got := get("/b"); got != b {
				t.Errorf("another product was purged too: %s after %s", got, b)
			}
		})
	}
}

// glanceOfTest is as often as projections are asked how far they are.
const glanceOfTest = 25 * time.Millisecond

func appendPrice(t *testing.T, log *store.Store, product string) {
	t.Helper()
	e := banyan.Event{Type: "product.priced", Data: []byte(`{"product":"` + product + `"}`)}
	if _, err := log.Append(t.Context(), "product-"+product, store.Any, e); err != nil {
		t.Fatal(err)
	}
}

// runProjection runs one that handles events only while it may.
func runProjection(t *testing.T, db *app.Database, log *store.Store, handled, may *atomic.Bool) {
	t.Helper()
	views, err := db.Views()
	if err != nil {
		t.Fatal(err)
	}
	d := projection.Define("prices", banyan.NewTypes(banyan.TypeOf[priced]("product.priced", 1)), nil)
	projection.On(d, func(ctx context.Context, _ *projection.Batch, _ priced, _ banyan.Event) error {
		if !may.Load() {
			return fmt.Errorf("not now: %w", banyan.ErrUnavailable)
		}
		handled.Store(true)
		return nil
	})
	r, err := projection.NewRunner(log, views, d, &projection.RunnerOptions{Backoff: 5 * time.Millisecond, MaxBackoff: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
