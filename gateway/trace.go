package gateway

import (
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strings"
)

// trace is the W3C trace context of a request: "00-TRACE-SPAN-FLAGS".
type trace string

// newTrace continues the trace of a request, or begins one. Its span is the
// gateway's own. Ids are random and no secret (W3C Trace Context §3.2.2.3).
func newTrace(r *http.Request) trace {
	var b [24]byte
	putRandom(b[:8])
	if was := r.Header["Traceparent"]; len(was) == 1 && validTrace(was[0]) {
		return trace("00-" + was[0][3:35] + "-" + hex.EncodeToString(b[:8]) + "-" + was[0][53:55])
	}
	putRandom(b[8:16])
	putRandom(b[16:])
	return trace("00-" + hex.EncodeToString(b[8:]) + "-" + hex.EncodeToString(b[:8]) + "-00")
}

func putRandom(b []byte) {
	n := rand.Uint64() | 1 // all zeros are not valid
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
}

// id returns the trace's own part.
func (t trace) id() string {
	if len(t) < 35 {
		return ""
	}
	return string(t[3:35])
}

// validTrace accepts version 00 and, as the standard asks for, the beginning of
// later ones.
func validTrace(s string) bool {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || len(s) > 55 && (s[:2] == "00" || s[55] != '-') || s[:2] == "ff" {
		return false
	}
	for i := range 55 {
		if i != 2 && i != 35 && i != 52 && (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}
