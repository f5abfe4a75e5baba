package gateway

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// PathRules say which unusual paths pass. The zero value refuses all that the
// parsers of two servers are known to read differently.
type PathRules struct {
	// EncodedSlash lets %2F through, as it is. Many servers decode it, and then
	// see one segment more than the gateway matched.
	EncodedSlash bool
	// Semicolon lets ; through. Servlet containers cut it and what follows from
	// a segment: /admin;x is /admin to them.
	Semicolon bool
	// Delimiters lets %23 (#) and %3F (?) through. A server that decodes a path and
	// parses it again cuts it there.
	Delimiters bool
	// AnyBytes lets escapes through that are not UTF-8, and escaped control
	// characters other than NUL.
	AnyBytes bool
	// IgnoreCase matches text of patterns in any case, for servers behind that do
	// not tell /admin from /ADMIN. What is forwarded keeps its case.
	IgnoreCase bool
}

// pathError is why a path is refused. It holds no bytes of the path.
type pathError string

func (e pathError) Error() string { return "gateway: the path " + string(e) }

// Canonical returns the one form of an escaped path (RFC 3986 §6.2.2) that the
// gateway matches, and forwards byte for byte: what may stand unescaped does,
// every other byte is %XX in upper case, and repeated slashes are one. A path
// that has no one meaning is refused: dot segments, which clients resolve
// (§5.2.4), backslashes, NUL, broken and double escapes, overlong UTF-8, and what
// the rules do not let through.
//
// Canonical is idempotent.
func Canonical(path string, rules PathRules) (string, error) {
	if path == "" || path[0] != '/' {
		return "", pathError("does not begin with /")
	}
	if plain(path) {
		return path, nil
	}
	out := make([]byte, 0, len(path)+8)
	for i := 0; i < len(path); i++ {
		c, escaped := path[i], false
		if c == '%' {
			var ok bool
			if c, ok = unhex(path, i); !ok {
				return "", pathError("has a broken escape")
			}
			i += 2
			escaped = true
		}
		var err error
		if out, err = appendByte(out, c, escaped, rules); err != nil {
			return "", err
		}
	}
	return check(string(out), rules)
}

// appendByte adds one byte of the decoded path in its canonical spelling.
func appendByte(out []byte, c byte, escaped bool, rules PathRules) ([]byte, error) {
	switch {
	case c == '/' && !escaped:
		if n := len(out); n > 0 && out[n-1] == '/' {
			return out, nil
		}
		return append(out, c), nil
	case c == '/' && !rules.EncodedSlash:
		return nil, pathError("has an escaped slash")
	case c == '\\':
		return nil, pathError("has a backslash")
	case c == ';' && !rules.Semicolon:
		return nil, pathError("has a semicolon")
	case (c == '#' || c == '?') && !rules.Delimiters:
		return nil, pathError("has an escaped # or ?")
	case c == 0 || (c < 0x20 || c == 0x7f) && (!escaped || !rules.AnyBytes):
		return nil, pathError("has a control character")
	case pathByte[c] || c == ';':
		return append(out, c), nil
	}
	const digits = "0123456789ABCDEF"
	return append(out, '%', digits[c>>4], digits[c&15]), nil
}

// check refuses what shows only in the whole: dot segments, double escapes, and
// bytes that are not UTF-8.
func check(path string, rules PathRules) (string, error) {
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "." || segment == ".." {
			return "", pathError("has a dot segment")
		}
	}
	for i := strings.Index(path, "%25"); i >= 0; {
		if len(path) >= i+5 && isHex(path[i+3]) && isHex(path[i+4]) {
			return "", pathError("is escaped twice")
		}
		next := strings.Index(path[i+3:], "%25")
		if next < 0 {
			break
		}
		i += 3 + next
	}
	if !rules.AnyBytes && !utf8.ValidString(unescape(path)) {
		return "", pathError("is not UTF-8")
	}
	return path, nil
}

// plain reports whether a path is canonical at a glance, as nearly all are.
func plain(path string) bool {
	for i := 1; i < len(path); i++ {
		c := path[i]
		if !pathByte[c] && c != '/' || path[i-1] == '/' && (c == '/' || c == '.') {
			return false
		}
	}
	return true
}

// pathByte are the bytes that stand in a path as they are: pchar (RFC 3986 §3.3)
// without the semicolon. It is read only.
var pathByte = func() (t [256]bool) {
	for c := range 256 {
		b := byte(c)
		t[c] = b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b != 0 && strings.IndexByte("-._~!$&'()*+,=:@", b) >= 0
	}
	return t
}()

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// unhex decodes the escape at s[i].
func unhex(s string, i int) (byte, bool) {
	if len(s) < i+3 || !isHex(s[i+1]) || !isHex(s[i+2]) {
		return 0, false
	}
	return digit(s[i+1])<<4 | digit(s[i+2]), true
}

func digit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// unescape decodes a canonical path, or a part of it.
func unescape(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if c, ok := unhex(path, i); ok && path[i] == '%' {
			out = append(out, c)
			i += 2
		} else {
			out = append(out, path[i])
		}
	}
	return string(out)
}

// escape returns text as it stands in a canonical path.
func escape(text string) string {
	var out strings.Builder
	for i := range len(text) {
		if c := text[i]; pathByte[c] || c == '/' || c == ';' {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}
