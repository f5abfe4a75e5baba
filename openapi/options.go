package openapi

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/banyanhq/banyan"
)

// Policy says what becomes of something that the document does not describe.
type Policy string

const (
	// Refuse answers with an error.
	Refuse Policy = "refuse"
	// Pass lets the request through.
	Pass Policy = "pass"
)

// Options change how requests are checked. Nil or zero fields are the defaults.
type Options struct {
	// BasePath stands before the paths of the document in requests, as /api/v1.
	// The document's servers are not looked at. Default: none.
	BasePath string
	// Operations: Refuse answers 404 to a path that the document has not, and 405
	// to a method. Pass hands both on unchecked. Default Refuse.
	Operations Policy
	// Query is for parameters of the query that the operation does not describe.
	// Default Pass: browsers and campaigns add their own.
	Query Policy
	// Body is for bodies of operations that describe none. Refuse answers 415.
	// Default Refuse.
	Body Policy
	// MaxBody bounds a body, in bytes; a longer one is answered with 413. Default
	// 1 MiB. A body is held in memory only where it has to be checked.
	MaxBody int64
	// MaxValues bounds the values (texts, numbers, objects …) of a body of JSON or a
	// form: in memory they are many times larger than their text. Default 100,000.
	MaxValues int
	// IgnoreFormats: the keyword format is not checked.
	IgnoreFormats bool
	// SkipPatterns: patterns that cannot be checked in linear time (look-around,
	// back-references) match everything. Default: New refuses them.
	SkipPatterns bool
	// Answer writes the answer to a refused request. Default: problem details
	// (RFC 9457).
	Answer func(http.ResponseWriter, *http.Request, *Problem)
}

const (
	defaultMaxBody   = 1 << 20
	defaultMaxValues = 100_000
)

// defaults returns a copy with the defaults filled in.
func (o *Options) defaults() *Options {
	var c Options
	if o != nil {
		c = *o
	}
	for _, field := range []struct {
		policy   *Policy
		standard Policy
	}{{&c.Operations, Refuse}, {&c.Query, Pass}, {&c.Body, Refuse}} {
		if *field.policy == "" {
			*field.policy = field.standard
		}
	}
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.MaxValues == 0 {
		c.MaxValues = defaultMaxValues
	}
	c.BasePath = strings.TrimSuffix(c.BasePath, "/")
	if c.Answer == nil {
		c.Answer = func(w http.ResponseWriter, _ *http.Request, p *Problem) { p.write(w) }
	}
	return &c
}

func (o *Options) check() error {
	for name, p := range map[string]Policy{"Operations": o.Operations, "Query": o.Query, "Body": o.Body} {
		if p != Refuse && p != Pass {
			return fmt.Errorf("openapi: option %s: %w: it is %q; refuse and pass are possible", name, banyan.ErrInvalid, p)
		}
	}
	if o.MaxBody < 0 || o.MaxValues < 0 {
		return fmt.Errorf("openapi: options: %w: MaxBody and MaxValues may not be negative", banyan.ErrInvalid)
	}
	if o.BasePath != "" && !strings.HasPrefix(o.BasePath, "/") {
		return fmt.Errorf("openapi: option BasePath: %w: it has to begin with /", banyan.ErrInvalid)
	}
	return nil
}
