package http1

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Problem answers with problem details (RFC 9457). The detail is shown to the
// client.
func Problem(w http.ResponseWriter, status int, detail string) {
	text, _ := json.Marshal(struct { // of strings and a number: it cannot fail
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail})
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that is gone does not read it
}
