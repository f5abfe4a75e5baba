package transform

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
)

// Policy changes requests and answers as its Config says.
type Policy struct {
	request, query, response *rules
	cookies                  *Cookies
	requestJSON              *editor // nil: bodies pass
	responseJSON             *editor
	mark                     string // of the response's rules, in entity tags
}

// New returns a Policy.
func New(c *Config) (*Policy, error) {
	if c == nil {
		c = &Config{}
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	p := &Policy{
		request: c.Request.Headers.compile(header), query: c.Request.Query.compile(query), response: c.Response.Headers.compile(answer),
		cookies: c.Response.Cookies,
	}
	if j := c.Request.JSON; j != nil {
		p.requestJSON, _ = j.compile() // checked
	}
	if j := c.Response.JSON; j != nil {
		p.responseJSON, _ = j.compile()
		all, _ := json.Marshal(j) // of texts and numbers: it cannot fail
		sum := sha256.Sum256(all)
		p.mark = "~" + hex.EncodeToString(sum[:4])
	}
	return p, nil
}

// Handler returns next behind the policy.
func (p *Policy) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, next) })
}

func (p *Policy) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	out, changes, why := p.incoming(r)
	if why != nil {
		why.answer(w)
		return
	}
	a := &answering{ResponseWriter: w, policy: p, request: out, changes: changes}
	out, cancel := a.bind(out)
	defer cancel()
	defer a.settle()
	next.ServeHTTP(a, out)
	a.end()
}
