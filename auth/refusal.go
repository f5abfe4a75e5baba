package auth

import (
	"errors"
	"net/http"

	"github.com/banyanhq/banyan"
)

// Reason says for logs and metrics why a request was refused. It is one of the
// constants, never text from the request, so it is safe as a label and cannot
// carry a secret.
type Reason string

// The reasons.
const (
	ReasonMissing      Reason = "no credential"
	ReasonSeveral      Reason = "several credentials"
	ReasonTooLarge     Reason = "token too large"
	ReasonMalformed    Reason = "malformed"
	ReasonAlgorithm    Reason = "algorithm not allowed"
	ReasonCritical     Reason = "critical header not understood"
	ReasonType         Reason = "not an access token"
	ReasonIssuer       Reason = "issuer not known"
	ReasonKey          Reason = "key not known"
	ReasonSignature    Reason = "signature wrong"
	ReasonExpired      Reason = "expired"
	ReasonTime         Reason = "time claim missing or wrong"
	ReasonEarly        Reason = "not valid yet"
	ReasonAudience     Reason = "audience wrong"
	ReasonSubject      Reason = "subject missing"
	ReasonScopeClaim   Reason = "scope claim malformed"
	ReasonBinding      Reason = "bound to another connection"
	ReasonUnknownKey   Reason = "api key not known"
	ReasonDisabled     Reason = "api key disabled"
	ReasonUnverified   Reason = "certificate not verified"
	ReasonName         Reason = "certificate names nobody allowed"
	ReasonRevoked      Reason = "revoked"
	ReasonScope        Reason = "scope missing"
	ReasonCondition    Reason = "condition false"
	ReasonConditionErr Reason = "condition failed"
	ReasonUnavailable  Reason = "keys not available"
)

// Codes of RFC 6750 §3.1.
const (
	codeRequest = "invalid_request"
	codeToken   = "invalid_token"
	codeScope   = "insufficient_scope"
)

// Refusal is why a request was refused, and what the client is told. Its text
// holds nothing that came with the request.
type Refusal struct {
	// Method is the kind of credential that was looked at. Empty: none.
	Method Method
	// Reason is for logs; clients do not see it.
	Reason Reason
	// Status is the answer: 400, 401, 403 or 503.
	Status int
	// Code is the error code of RFC 6750 §3.1. Empty: none is sent.
	Code string
	// Scopes are those that the route needs, where they were missing.
	Scopes Scopes
	// Err is the cause, if there is one beyond Reason.
	Err error
}

func (r *Refusal) Error() string {
	text := "auth: refuse request: "
	if r.Method != "" {
		text = "auth: refuse " + string(r.Method) + ": "
	}
	if r.Err != nil {
		return text + string(r.Reason) + ": " + r.Err.Error()
	}
	return text + string(r.Reason)
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Is makes the refusal one of the kinds of package banyan.
func (r *Refusal) Is(target error) bool {
	switch r.Status {
	case http.StatusServiceUnavailable:
		return target == banyan.ErrUnavailable
	case http.StatusBadRequest:
		return target == banyan.ErrInvalid
	}
	return target == banyan.ErrDenied
}

// refuse is a 401 invalid_token, the answer to every credential that is wrong:
// which of the checks failed helps an attacker and nobody else.
func refuse(m Method, reason Reason) *Refusal {
	return &Refusal{Method: m, Reason: reason, Status: http.StatusUnauthorized, Code: codeToken}
}

func badRequest(m Method, reason Reason) *Refusal {
	return &Refusal{Method: m, Reason: reason, Status: http.StatusBadRequest, Code: codeRequest}
}

func forbid(m Method, reason Reason) *Refusal {
	return &Refusal{Method: m, Reason: reason, Status: http.StatusForbidden}
}

func unavailable(m Method, err error) *Refusal {
	return &Refusal{Method: m, Reason: ReasonUnavailable, Status: http.StatusServiceUnavailable, Err: err}
}

// refusalOf makes a Refusal of any error: one that is none fails closed.
func refusalOf(m Method, err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return unavailable(m, err)
}
