// Package api is what the HTTP interfaces of the shop's services have in common:
// an OpenAPI 3.1 document made from the code, served at /openapi.json, answers to
// errors as problem details (RFC 9457), and pages.
//
// Several services may share one [huma.API]: its document then has the operations
// of all of them.
package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// API is where services register their operations.
type API struct{ huma huma.API }

// New returns an API whose operations are served by mux.
func New(mux *http.ServeMux, title string) *API {
	config := huma.DefaultConfig(title, "1")
	config.DocsPath = ""     // the page loads scripts from elsewhere
	config.CreateHooks = nil // no $schema in answers
	config.SchemasPath = ""  // they are in the document
	return &API{huma: humago.New(mux, config)}
}

// Handle registers an operation. Errors of the handler become problem details.
func Handle[In, Out any](a *API, op huma.Operation, handler func(context.Context, *In) (*Out, error)) {
	huma.Register(a.huma, op, func(ctx context.Context, in *In) (*Out, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, problem(ctx, err)
		}
		return out, nil
	})
}

// problem turns an error into an answer by its kind. A handler's own problem stays
// as it is.
func problem(ctx context.Context, err error) error {
	var own huma.StatusError
	if errors.As(err, &own) {
		return err
	}
	return app.Report(ctx, err)
}

// Token returns the header's value for a token.
func Token(t store.Token) string { return url.PathEscape(string(t)) }

// Waiter is a reader of a log that can be waited for: a *projection.Runner.
type Waiter interface {
	Wait(ctx context.Context, t store.Token) error
}

// Fresh is the part of a request that says what its answer has to have seen.
type Fresh struct {
	Token string `header:"Banyan-Token" doc:"The token of a write that the answer shall include."`
}

// patience bounds how long an answer waits for its token.
const patience = 20 * time.Second

// Await waits until the reader has seen the write. One that lags too far behind
// is an error of kind context.DeadlineExceeded: ask again.
func (f Fresh) Await(ctx context.Context, upTo Waiter) error {
	if f.Token == "" {
		return nil
	}
	token, err := url.PathUnescape(f.Token)
	if err != nil {
		return fmt.Errorf("%s %q: %w: it is not percent-encoded", projection.TokenHeader, f.Token, banyan.ErrInvalid)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = upTo.Wait(ctx, store.Token(token))
	if errors.Is(err, banyan.ErrNotFound) {
		return fmt.Errorf("%s %q: %w: it names no event", projection.TokenHeader, f.Token, banyan.ErrInvalid)
	}
	return err
}

// Page is the part of a request that asks for a page.
type Page struct {
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
	After string `query:"after" doc:"The next of the page before."`
}

// Query returns the query of the page in the order of an index.
func (p Page) Query(index string, desc bool) (view.Query, error) {
	q := view.Query{Index: index, Desc: desc, Limit: p.Limit}
	if p.After == "" {
		return q, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(p.After)
	if err == nil {
		q.After = &view.Cursor{}
		err = json.Unmarshal(text, q.After)
	}
	if err != nil {
		return view.Query{}, fmt.Errorf("after %q: %w: send what the page before gave as next", p.After, banyan.ErrInvalid)
	}
	return q, nil
}

// Next returns the text that asks for the page after this one, "" at the end.
func Next(c *view.Cursor) string {
	if c == nil {
		return ""
	}
	text, err := json.Marshal(c)
	if err != nil {
		return "" // two strings can be encoded
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// Pick returns the documents of the given ids, each once and in the order of the
// ids; those that there are not are left out. key turns an id into that of its row.
func Pick[T any](ctx context.Context, r view.Reader, c *view.Collection[T], ids []string, key func(string) string) ([]T, error) {
	found, seen := []T{}, map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		doc, exists, err := c.Get(ctx, r, key(id))
		if err != nil {
			return nil, err
		}
		if exists {
			found = append(found, doc)
		}
	}
	return found, nil
}
