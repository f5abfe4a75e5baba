package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/banyanhq/banyan"
)

// maxHeaderValue bounds a header made of claims; servers refuse larger ones.
const maxHeaderValue = 4 << 10

// Header is a request header that tells the next service who sent the request.
type Header struct {
	// Name of the header, with hyphens.
	Name string
	// From is "subject", "issuer", "client", "tenant", "scopes", "method",
	// "expires" (seconds since 1970), "key" (Identity.Key), or "claims." and the
	// path of a claim (see Claims.Find).
	From string
}

// ForwardOptions are the options of a Forwarder.
type ForwardOptions struct {
	// Remove are further headers that clients may not send; one that ends in *
	// stands for all that begin like it. Client-Cert, Client-Cert-Chain (RFC 9440),
	// X-Forwarded-Client-Cert and X-SSL-* are always removed. Default: only those.
	Remove []string
	// Omitted hears when an identity has a value that fits in no header: one with
	// control characters, spaces at an end, or a list whose elements have commas;
	// objects; more than 4 KiB. Default: nothing does.
	Omitted func(r *http.Request, name string)
}

// Forwarder sets headers from the identity, and makes sure that nobody else does.
type Forwarder struct {
	headers  []Header
	removed  []string // exact names
	prefixes []string
	opts     ForwardOptions
}

// NewForwarder makes a Forwarder.
func NewForwarder(headers []Header, o *ForwardOptions) (*Forwarder, error) {
	f := &Forwarder{headers: slices.Clone(headers)}
	if o != nil {
		f.opts = *o
	}
	if err := f.fill(); err != nil {
		return nil, fmt.Errorf("auth: new forwarder: %w: %w", banyan.ErrInvalid, err)
	}
	return f, nil
}

func (f *Forwarder) fill() error {
	for i, h := range f.headers {
		name, ok := canonicalHeader(h.Name)
		if !ok || reserved(name) {
			return fmt.Errorf("the header %q cannot be set", h.Name)
		}
		if slices.Contains(f.removed, name) {
			return fmt.Errorf("the header %s is there twice", name)
		}
		if !source(h.From) {
			return fmt.Errorf("the header %s: nothing is called %q", name, h.From)
		}
		f.headers[i].Name = name
		f.removed = append(f.removed, name)
	}
	always := []string{"Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X-Ssl-*"}
	for _, pattern := range slices.Concat(always, f.opts.Remove) {
		stem, prefix := strings.CutSuffix(pattern, "*")
		if _, ok := canonicalHeader(stem); !ok || reserved(http.CanonicalHeaderKey(stem)) {
			return fmt.Errorf("%q is no header to remove", pattern)
		}
		if prefix {
			f.prefixes = append(f.prefixes, stem)
		} else {
			f.removed = append(f.removed, stem)
		}
	}
	return nil
}

// reserved are the headers that HTTP itself needs.
func reserved(name string) bool {
	switch name {
	case "Host", "Connection", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Te", "Trailer", "Upgrade", headerAuthorization:
		return true
	}
	return false
}

func source(from string) bool {
	switch from {
	case "subject", "issuer", "client", "tenant", "scopes", "method", "expires", "key":
		return true
	}
	path, ok := strings.CutPrefix(from, "claims.")
	return ok && path != ""
}

// Wrap is the middleware. It removes the headers in every spelling, from the
// trailers too, also of anonymous requests, and takes their names out of
// Connection, which else would tell the next proxy to drop what is set here. Then
// it sets those for which the identity has a value, each to exactly one.
func (f *Forwarder) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, known := From(r.Context())
		out := r.WithContext(r.Context()) // a copy whose headers are its own
		if out.Header = f.clean(r.Header); out.Header == nil {
			out.Header = http.Header{}
		}
		f.connection(out.Header)
		out.Trailer = f.clean(r.Trailer)
		if len(r.Trailer) > 0 {
			// net/http fills in the trailers, announced or not, when it has read
			// the body.
			out.Body = &trailing{ReadCloser: r.Body, filled: r, cleaned: out, clean: f.clean}
		}
		if known {
			f.set(out, id)
		}
		next.ServeHTTP(w, out)
	})
}

func (f *Forwarder) clean(h http.Header) http.Header {
	if h == nil {
		return nil
	}
	out := make(http.Header, len(h)+len(f.headers))
	for name, values := range h {
		if !f.hides(name) {
			out[name] = values
		}
	}
	return out
}

func (f *Forwarder) hides(name string) bool {
	for _, one := range f.removed {
		if sameHeader(name, one) {
			return true
		}
	}
	for _, stem := range f.prefixes {
		if len(name) >= len(stem) && sameHeader(name[:len(stem)], stem) {
			return true
		}
	}
	return false
}

// connection takes hidden names out of Connection (RFC 9110 §7.6.1).
func (f *Forwarder) connection(h http.Header) {
	values := h["Connection"]
	if len(values) == 0 {
		return
	}
	var keep []string
	for _, v := range values {
		for option := range strings.SplitSeq(v, ",") {
			if option = strings.TrimSpace(option); option != "" && !f.hides(option) {
				keep = append(keep, option)
			}
		}
	}
	if len(keep) == 0 {
		delete(h, "Connection")
		return
	}
	h["Connection"] = []string{strings.Join(keep, ", ")}
}

func (f *Forwarder) set(r *http.Request, id Identity) {
	for _, h := range f.headers {
		value, ok := headerText(valueOf(id, h.From))
		switch {
		case !ok && f.opts.Omitted != nil:
			f.opts.Omitted(r, h.Name)
		case ok && value != "":
			r.Header[h.Name] = []string{value}
		}
	}
}

func valueOf(id Identity, from string) any {
	switch from {
	case "subject":
		return id.Subject
	case "issuer":
		return id.Issuer
	case "client":
		return id.ClientID
	case "tenant":
		return id.Tenant
	case "scopes":
		return string(id.Scopes)
	case "method":
		return string(id.Method)
	case "key":
		return id.Key()
	case "expires":
		if id.Expires.IsZero() {
			return nil
		}
		return id.Expires.Unix()
	}
	v, _ := id.Claims.Find(strings.TrimPrefix(from, "claims."))
	return v
}

// headerText writes a value as a header: texts as they are, numbers in full,
// lists with commas. No value is "", and what fits in no header is false.
func headerText(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, v == "" || fits(v)
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case json.Number:
		return v.String(), fits(v.String())
	case []any:
		return listText(v)
	}
	return "", false
}

// listText joins a list. An element with a comma would be two to the reader:
// "user,admin" is one role of somebody clever.
func listText(list []any) (string, bool) {
	parts := make([]string, len(list))
	for i, e := range list {
		part, ok := headerText(e)
		if _, nested := e.([]any); nested || !ok || part == "" || strings.ContainsAny(part, `,"`) {
			return "", false
		}
		parts[i] = part
	}
	joined := strings.Join(parts, ",")
	return joined, len(joined) <= maxHeaderValue
}

// fits: what a receiver reads is what was meant (RFC 9110 §5.5): no control
// characters, and no space at an end, which it would cut off.
func fits(s string) bool {
	if len(s) > maxHeaderValue || !utf8.ValidString(s) || strings.Trim(s, " \u00a0\u2028\u2029\ufeff") != s {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 })
}

// trailing cleans the trailers once the body has been read.
type trailing struct {
	io.ReadCloser
	filled, cleaned *http.Request
	clean           func(http.Header) http.Header
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		for name, values := range b.clean(b.filled.Trailer) {
			b.cleaned.Trailer[name] = values
		}
	}
	return n, err
}
