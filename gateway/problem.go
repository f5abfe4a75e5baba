package gateway

import (
	"net/http"

	"github.com/banyanhq/banyan/internal/http1"
)

// Problem answers with problem details (RFC 9457). The detail is shown to the
// client.
func Problem(w http.ResponseWriter, status int, detail string) { http1.Problem(w, status, detail) }
