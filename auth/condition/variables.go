package condition

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/banyanhq/banyan/auth"
)

// variables answers for the names that newEnv declares, each when it is asked for.
type variables struct {
	r      *http.Request
	id     auth.Identity
	query  url.Values
	hidden map[string]bool
	client func(*http.Request) string
}

// variables reads the query strictly, because the decoder of net/http drops what
// it does not understand and the next service might not.
func (c *Condition) variables(r *http.Request, id auth.Identity) (*variables, error) {
	v := &variables{r: r, id: id, hidden: c.hidden, client: c.client}
	if !c.query {
		return v, nil
	}
	var err error
	if v.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return nil, errors.New("condition: evaluate: the query cannot be decoded")
	}
	return v, nil
}

// Parent implements cel.Activation.
func (v *variables) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case "identity.method":
		return string(v.id.Method), true
	case "identity.subject":
		return v.id.Subject, true
	case "identity.issuer":
		return v.id.Issuer, true
	case "identity.client":
		return v.id.ClientID, true
	case "identity.tenant":
		return v.id.Tenant, true
	case "identity.key":
		return v.id.Key(), true
	case "identity.scopes":
		return slices.Collect(v.id.Scopes.All()), true
	case "identity.claims":
		return v.claims(), true
	case "request.method":
		return v.r.Method, true
	case "request.host":
		return host(v.r.Host), true
	case "request.path":
		return v.r.URL.Path, true
	case "request.headers":
		return v.headers(), true
	case "request.query":
		return map[string][]string(v.query), true
	case "request.client":
		return address(v.client(v.r))
	}
	return nil, false
}

func (v *variables) claims() map[string]any {
	out := make(map[string]any, v.id.Claims.Len())
	for name, value := range v.id.Claims.All() {
		out[name] = value
	}
	return out
}

func (v *variables) headers() map[string]string {
	out := make(map[string]string, len(v.r.Header))
	for name, values := range v.r.Header {
		if name = strings.ToLower(name); !v.hidden[name] {
			out[name] = strings.Join(values, ", ") // RFC 9110 §5.3
		}
	}
	return out
}

func hidden(more []string) map[string]bool {
	out := map[string]bool{"authorization": true, "proxy-authorization": true, "cookie": true, "x-api-key": true}
	for _, name := range more {
		out[strings.ToLower(name)] = true
	}
	return out
}

// address returns an address in one form, without port and zone, and IPv4 as such,
// so that it can be compared. What is none is no value: to look at it is an error.
func address(text string) (any, bool) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil, false
	}
	return a.Unmap().WithZone("").String(), true
}

func host(hostport string) string {
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		hostport = name
	}
	return strings.ToLower(strings.Trim(hostport, "[]"))
}

// Interface guard.
var _ cel.Activation = (*variables)(nil)
