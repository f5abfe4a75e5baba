package auth

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const (
	schemeBearer      = "Bearer"
	schemeKey         = "ApiKey"
	schemeCertificate = "Certificate"

	headerAuthorization = "Authorization"

	// tokenParam is the parameter of RFC 6750 §2.2 and §2.3. Tokens are not taken
	// from there: addresses and forms end up in logs, histories and referrers.
	tokenParam = "access_token"

	// formPeek is how much of a form is searched for a second token.
	formPeek = 64 << 10
)

// bearer returns the credentials of the Bearer scheme (RFC 6750 §2.1), and false
// when the header has another scheme. Schemes are case-insensitive (RFC 9110 §11.1).
func bearer(h http.Header) (string, bool) {
	values := h[headerAuthorization]
	if len(values) == 0 {
		return "", false
	}
	v := values[0]
	if len(v) < len(schemeBearer) || !strings.EqualFold(v[:len(schemeBearer)], schemeBearer) {
		return "", false
	}
	rest := v[len(schemeBearer):]
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' && rest[0] != ',' {
		return "", false // Bearerish
	}
	return strings.TrimLeft(rest, " "), true
}

// tokenInQuery reports whether the query has the parameter access_token,
// however its name is escaped, and also between the semicolons that some
// servers take for separators.
func tokenInQuery(query string) bool {
	for query != "" {
		pair := query
		if i := strings.IndexAny(query, "&;"); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			query = ""
		}
		name, _, _ := strings.Cut(pair, "=")
		if strings.Contains(name, "%") {
			name, _ = url.QueryUnescape(name) // not a name at all if it fails
		}
		if name == tokenParam {
			return true
		}
	}
	return false
}

// tokenInForm reports whether the body is a form with a second token (RFC 6750
// §2.2). It reads at most 64 KiB of forms, and nothing of other bodies; the
// handler finds the body as it was. It runs after the token in the header proved
// valid, so that nobody unknown makes it read.
func tokenInForm(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return false
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media != "application/x-www-form-urlencoded" {
		return false
	}
	head, err := io.ReadAll(io.LimitReader(r.Body, formPeek))
	r.Body = &replayed{head: bytes.NewReader(head), err: err, body: r.Body}
	return tokenInQuery(string(head))
}

// replayed is a body whose beginning has been read.
type replayed struct {
	head *bytes.Reader
	err  error // that ended the reading
	body io.ReadCloser
}

func (b *replayed) Read(p []byte) (int, error) {
	if b.head.Len() > 0 {
		return b.head.Read(p)
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.body.Read(p)
}

func (b *replayed) Close() error { return b.body.Close() }

// Interface guard.
var _ io.ReadCloser = (*replayed)(nil)
