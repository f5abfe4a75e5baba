package http1

import "strings"

// classes of bytes, as bits.
const (
	tokenByte  = 1 << iota // RFC 9110 §5.6.2
	fieldByte              // RFC 9110 §5.5: visible, space, tab, obs-text
	targetByte             // visible ASCII without '#': what may stand in a request target
	hostByte               // names and IPv4 addresses; RFC 3986 §3.2.2 without its sub-delims and escapes
	freeByte               // unreserved: means nothing anywhere in a URL (RFC 3986 §2.3)
	urlByte                // of paths and queries without escapes (RFC 3986 §3.3 and §3.4)
	queryByte              // of queries with escapes
)

// class is read only.
var class = func() (t [256]byte) {
	for c := range 256 {
		b := byte(c)
		alnum := b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
		if alnum || c != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0 {
			t[c] |= tokenByte
		}
		if b >= 0x20 && b != 0x7f || b == '\t' {
			t[c] |= fieldByte
		}
		if b > 0x20 && b < 0x7f && b != '#' {
			t[c] |= targetByte
		}
		if alnum || b == '-' || b == '.' || b == '_' {
			t[c] |= hostByte
		}
		free := alnum || c != 0 && strings.IndexByte("-._~", b) >= 0
		if free {
			t[c] |= freeByte
		}
		if free || c != 0 && strings.IndexByte("!$&'()*+,;=:@/?", b) >= 0 {
			t[c] |= urlByte | queryByte
		}
		if b == '%' {
			t[c] |= queryByte
		}
	}
	return t
}()

func all(s string, bits byte) bool {
	for i := range len(s) {
		if class[s[i]]&bits == 0 {
			return false
		}
	}
	return true
}

// IsToken reports whether s is a token (RFC 9110 §5.6.2), such as the name of a
// header.
func IsToken(s string) bool { return s != "" && all(s, tokenByte) }

// IsFieldValue reports whether s can be the value of a header (RFC 9110 §5.5).
func IsFieldValue(s string) bool { return all(s, fieldByte) && strings.Trim(s, " \t") == s }

// ValidQuery reports whether s can be the query of a request target.
func ValidQuery(s string) bool { return all(s, targetByte) }

// ValidHost reports whether s is a host with an optional port, as it may stand in
// a Host field (RFC 9110 §7.2). Names are ASCII: others arrive as punycode.
func ValidHost(s string) bool {
	host, port, found := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || !validIPv6(s[1:end]) {
			return false
		}
		if rest := s[end+1:]; rest != "" {
			if rest[0] != ':' {
				return false
			}
			port, found = rest[1:], true
		}
	} else if host, port, found = strings.Cut(s, ":"); !validName(host) {
		return false
	}
	return !found || validPort(port)
}

// validName refuses empty labels: a server that drops the dots would see another
// name than who chose by it. One dot at the end is the root.
func validName(s string) bool {
	return s != "" && s[0] != '.' && !strings.Contains(s, "..") && all(s, hostByte)
}

func validPort(s string) bool {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || len(s) > 5 {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return s != "" && n <= 65535
}

func validIPv6(s string) bool {
	if len(s) < 2 || len(s) > 45 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') && c != ':' && c != '.' {
			return false
		}
	}
	return strings.Count(s, ":") >= 2
}

// hasToken reports whether a comma-separated list has the token, in any case.
// The lists of all lines count (RFC 9110 §5.3).
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// Escape returns s as it can stand in every place of a URL without leaving it: only
// what means nothing anywhere stays (RFC 3986 §2.3). A space is %20 and not +, which
// is a plus sign to some.
func Escape(s string) string { return escape(s, freeByte) }

// EscapeQuery returns a query of a request in the characters of a URI (RFC 3986 §3.4):
// browsers send some more as they are. What is escaped stays so.
func EscapeQuery(s string) string { return escape(s, queryByte) }

func escape(s string, keep byte) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(s) {
		c := s[i]
		if class[c]&keep != 0 {
			out.WriteByte(c)
			continue
		}
		out.WriteByte('%')
		out.WriteByte(hex[c>>4])
		out.WriteByte(hex[c&15])
	}
	return out.String()
}

// IsURLText reports whether s is made of the characters of paths and queries, and of
// whole escapes.
func IsURLText(s string) bool {
	for i := 0; i < len(s); i++ {
		switch {
		case class[s[i]]&urlByte != 0:
		case s[i] == '%' && len(s) > i+2 && isHex(s[i+1]) && isHex(s[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }
