package gateway_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/openapi"
)

// service is an upstream that serves its document at /openapi.json and answers
// everything else.
type service struct {
	url      string
	server   *httptest.Server
	document atomic.Pointer[string]
	asked    atomic.Int64 // for its document
	status   atomic.Int64 // of other answers; 0: 200
}

func newService(t *testing.T, document string) *service {
	t.Helper()
	s := &service{}
	s.document.Store(&document)
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/openapi.json" {
			s.asked.Add(1)
			_, _ = w.Write([]byte(*s.document.Load()))
			return
		}
		if n := s.status.Load(); n != 0 {
			w.WriteHeader(int(n))
		}
	}))
	t.Cleanup(s.server.Close)
	s.url = s.server.URL
	return s
}

// journal is a log that may be read while it is written.
type journal struct{ gatetest.Log }

func (j *journal) count(text string) int { return j.Count(text) }

// catalogued is a gateway with a catalogue.
type catalogued struct {
	*gateway.Gateway
	admin http.Handler
	log   *journal
	file  string
}

func newCatalogued(t *testing.T, files map[string]string) *catalogued {
	t.Helper()
	c := &catalogued{log: &journal{}, file: filepath.Join(folder(t, files), "banyan.yaml")}
	config, err := gateway.Load(c.file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Gateway, err = gateway.New(config, &gateway.Options{Log: slog.New(slog.NewTextHandler(c.log, nil))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	c.admin = c.Admin(nil)
	return c
}

// until waits for something.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s never comes", what)
		}
	}
}

// settled waits until every document has come.
func (c *catalogued) settled(t *testing.T) {
	t.Helper()
	until(t, "a document", func() bool {
		for _, s := range c.Status().Catalogue {
			if s.Fetched == nil {
				return false
			}
		}
		return true
	})
	until(t, "the catalogue", func() bool { return len(c.APIUsage().Operations) > 0 })
}

// document asks the admin API for a document.
func (c *catalogued) document(t *testing.T, audience string) (*openapi.Document, string) {
	t.Helper()
	w := ask(c.admin, "GET", "http://localhost/v1/catalogue?audience="+audience)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	d, err := openapi.Parse("catalogue", w.Body.Bytes())
	if err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return d, w.Header().Get("Etag")
}

func operations(d *openapi.Document) (all []string) {
	for _, op := range d.Operations() {
		all = append(all, op.Method+" "+op.Path)
	}
	return all
}

// changes asks the admin API for what changed.
func (c *catalogued) changes(t *testing.T) []gateway.APIChange {
	t.Helper()
	var out struct{ Changes []gateway.APIChange }
	if err := json.Unmarshal(ask(c.admin, "GET", "http://localhost/v1/catalogue/changes").Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out.Changes
}

const usersDoc = `{"openapi":"3.0.3","info":{"title":"Users","version":"2"},"paths":{
"/api/users":{"get":{"x-audience":["public","readers"],"responses":{"200":{"description":"all","content":{"application/json":{"schema":{"type":"array","items":{"$ref":"#/components/schemas/User"}}}}}}}},
"/api/users/{id}":{"parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}}],
 "get":{"tags":["reading"],"responses":{"200":{"description":"one","content":{"application/json":{"schema":{"$ref":"#/components/schemas/User"}}}}}},
 "delete":{"deprecated":true,"responses":{"204":{"description":"gone"}}}},
"/internal/sweep":{"post":{"responses":{"204":{"description":"done"}}}}},
"components":{"schemas":{"User":{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"name":{"type":"string"}}}}}}`

const shopFile = `
compress: {}
catalogue:
  title: Shop
  version: "3"
  every: 3ms
  audiences:
    public: {path: /catalogue/public.json}
    readers: {tags: [reading]}
    everybody: {all: true}
upstreams:
  orders: {targets: ["ORDERS"], openapi: /openapi.json}
  users: {targets: ["USERS"], openapi: /openapi.json}
  legacy: LEGACY
routes:
- {match: /shop/, to: orders, strip_prefix: /shop}
- {match: /users/, to: users, add_prefix: /api}
- {match: "DELETE /users/{id}", to: legacy, name: removed}
- {match: /old/, to: legacy}
`

func shop(t *testing.T) (c *catalogued, orders, users *service) {
	t.Helper()
	orders, users = newService(t, ordersDoc), newService(t, usersDoc)
	legacy := newService(t, "")
	c = newCatalogued(t, map[string]string{"banyan.yaml": strings.NewReplacer("ORDERS", orders.url, "USERS", users.url, "LEGACY", legacy.url).Replace(shopFile)})
	c.settled(t)
	until(t, "both documents", func() bool { d, _ := c.document(t, ""); return len(d.Operations()) == 4 })
	return c, orders, users
}
