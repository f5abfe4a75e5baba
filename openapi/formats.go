package openapi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// formats are those of OpenAPI that JSON Schema has not, and those of which the
// library takes more than their RFCs.
func formats() []*jsonschema.Format {
	return []*jsonschema.Format{
		{Name: "int32", Validate: whole(32)},
		{Name: "int64", Validate: whole(64)},
		{Name: "byte", Validate: textual(func(s string) error { _, err := base64.StdEncoding.DecodeString(s); return err })},
		{Name: "ipv4", Validate: textual(ipv4)},
		{Name: "uri", Validate: textual(func(s string) error { return uri(s, true) })},
		{Name: "uri-reference", Validate: textual(func(s string) error { return uri(s, false) })},
	}
}

var errFormat = errors.New("it is not of the format")

// textual makes a check of values of one of texts; the type says whether it may be
// something else.
func textual(check func(string) error) func(any) error {
	return func(v any) error {
		if s, ok := v.(string); ok {
			return check(s)
		}
		return nil
	}
}

func whole(bits int) func(any) error {
	return func(v any) error {
		n, ok := v.(json.Number)
		if !ok || !decimalOf(n.String()).integer() {
			return nil
		}
		_, err := strconv.ParseInt(decimalOf(n.String()).String(), 10, bits)
		return err
	}
}

// ipv4 takes four decimal numbers, without signs and needless zeros, which some
// read as octal (RFC 6943 §3.1.1).
func ipv4(s string) error {
	if a, err := netip.ParseAddr(s); err != nil || !a.Is4() {
		return errFormat
	}
	return nil
}

// uri takes no characters but those of RFC 3986 §2.
func uri(s string, absolute bool) error {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z' || s[i] < 'A') && (s[i] < '0' || s[i] > '9') && strings.IndexByte("-._~:/?#[]@!$&'()*+,;=%", s[i]) < 0 {
			return errFormat
		}
	}
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	if absolute && !u.IsAbs() {
		return errFormat
	}
	return nil
}
