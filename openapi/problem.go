package openapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// Problem is the answer to a request that does not keep the contract: a problem
// details object (RFC 9457). It says what was wanted, never what was sent.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Kind is invalid or, with 404, not-found.
	Kind string `json:"kind"`
	// Errors are at most 20.
	Errors []Mistake `json:"errors,omitempty"`

	allow string
}

// Mistake is one thing that is wrong with a request.
type Mistake struct {
	// In is path, query, header, cookie or body.
	In string `json:"in"`
	// Field is the name of a parameter.
	Field string `json:"field,omitempty"`
	// Pointer names the place in the body or in a parameter (RFC 6901); empty for
	// all of it.
	Pointer string `json:"pointer,omitempty"`
	Text    string `json:"text"`
}

// Error implements error.
func (p *Problem) Error() string { return fmt.Sprintf("%s: %s", p.Title, p.Detail) }

// Header returns the fields of the answer that belong to its status.
func (p *Problem) Header() http.Header {
	h := http.Header{"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	return h
}

func problem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Kind: "invalid"}
}

func (p *Problem) write(w http.ResponseWriter) {
	text, _ := json.Marshal(p) // of texts and a number: it cannot fail
	for name, values := range p.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(text) // a client that is gone does not read it
}
