package auth

import (
	"encoding/json"
	"net/http"
	"strings"
)

// problem is a problem details object (RFC 9457) with the members that Banyan's
// other answers have.
type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Kind      string `json:"kind"`
	Retryable bool   `json:"retryable"`
}

// details says what to do, by status and code, and nothing about which check
// failed.
func (r *Refusal) problem() problem {
	p := problem{Title: http.StatusText(r.Status), Status: r.Status, Kind: "denied"}
	switch {
	case r.Status == http.StatusBadRequest:
		p.Kind, p.Detail = "invalid", "Send one credential, once."
	case r.Status == http.StatusServiceUnavailable:
		p.Kind, p.Retryable = "unavailable", true
		p.Detail = "Credentials cannot be checked at the moment. Nothing was done; send the same request again."
	case r.Status == http.StatusForbidden:
		p.Detail = "This credential does not allow the request."
	case r.Code == "":
		p.Detail = "This needs a credential."
	default:
		p.Detail = "The credential is not valid. Get a new one."
	}
	return p
}

// answer writes the refusal as RFC 6750 §3 and RFC 9110 §11.6.1 want it.
func (r *Refusal) answer(w http.ResponseWriter, realm string, challenges []string) {
	h := w.Header()
	h.Del("WWW-Authenticate")
	for _, scheme := range challenges {
		h.Add("WWW-Authenticate", r.challenge(scheme, realm))
	}
	if r.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(r.Status)
	_ = json.NewEncoder(w).Encode(r.problem()) // the client has gone
}

// challenge adds the parameters to a scheme. Codes are those of Bearer only.
func (r *Refusal) challenge(scheme, realm string) string {
	var params []string
	if realm != "" {
		params = append(params, `realm="`+realm+`"`)
	}
	if scheme == schemeBearer && r.Code != "" {
		params = append(params, `error="`+r.Code+`"`)
	}
	if scheme == schemeBearer && r.Scopes != "" {
		params = append(params, `scope="`+string(r.Scopes)+`"`)
	}
	if len(params) == 0 {
		return scheme
	}
	return scheme + " " + strings.Join(params, ", ")
}
