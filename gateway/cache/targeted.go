package cache

import "strings"

// parseTargeted reads a targeted field (RFC 9213 §2.1): a Dictionary of RFC 8941
// whose members are cache directives. A field that is no valid Dictionary, or
// an empty one, is ignored as a whole, so ok is false.
func parseTargeted(lines []string) (c control, ok bool) {
	c = newControl()
	members := map[string]string{}
	s := strings.TrimLeft(strings.Join(lines, ", "), " ")
	s = strings.TrimRight(s, " ")
	for s != "" {
		var name, value string
		if name, value, s, ok = dictionaryMember(s); !ok {
			return c, false
		}
		members[name] = value // the last one wins (RFC 8941 §3.2)
		if s, ok = afterMember(s); !ok {
			return c, false
		}
	}
	for name, value := range members {
		switch value {
		case "?0":
		case "?1":
			c.set(name, "")
		default:
			c.set(name, value)
		}
	}
	return c, len(members) > 0
}

// afterMember skips the comma between two members. A trailing one is an error.
func afterMember(s string) (string, bool) {
	s = strings.TrimLeft(s, " \t")
	if s == "" {
		return "", true
	}
	if s[0] != ',' {
		return "", false
	}
	s = strings.TrimLeft(s[1:], " \t")
	return s, s != ""
}

func dictionaryMember(s string) (name, value, rest string, ok bool) {
	if name, rest = span(s, keyByte); name == "" || !keyStart(name[0]) {
		return "", "", "", false
	}
	value = "?1"
	if strings.HasPrefix(rest, "=") {
		if value, rest, ok = bareItem(rest[1:]); !ok {
			return "", "", "", false
		}
	}
	rest, ok = skipParameters(rest)
	return name, value, rest, ok
}

func skipParameters(s string) (string, bool) {
	for strings.HasPrefix(s, ";") {
		name, rest := span(strings.TrimLeft(s[1:], " "), keyByte)
		if name == "" || !keyStart(name[0]) {
			return "", false
		}
		if s = rest; strings.HasPrefix(s, "=") {
			var ok bool
			if _, s, ok = bareItem(s[1:]); !ok {
				return "", false
			}
		}
	}
	return s, true
}

// bareItem reads an integer, a token, a string or a boolean; no directive has a
// value of another kind.
func bareItem(s string) (value, rest string, ok bool) {
	switch {
	case s == "":
		return "", "", false
	case s[0] == '"':
		return quotedString(s[1:])
	case s[0] == '?':
		ok = len(s) > 1 && (s[1] == '0' || s[1] == '1')
		if !ok {
			return "", "", false
		}
		return s[:2], s[2:], true
	case s[0] >= '0' && s[0] <= '9', s[0] == '-':
		value, rest = span(s[1:], func(b byte) bool { return b >= '0' && b <= '9' })
		value = s[:1+len(value)]
		return value, rest, len(value) <= 16 && value != "-"
	case isAlpha(s[0]), s[0] == '*':
		value, rest = span(s, tokenByte)
		return value, rest, true
	}
	return "", "", false
}

func quotedString(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\':
			if i++; i == len(s) || (s[i] != '"' && s[i] != '\\') {
				return "", "", false
			}
		case s[i] < 0x20 || s[i] > 0x7e:
			return "", "", false
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// span splits s behind the bytes at its start that are in the set.
func span(s string, in func(byte) bool) (head, rest string) {
	i := 0
	for i < len(s) && in(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isAlpha(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

func keyStart(b byte) bool { return b >= 'a' && b <= 'z' || b == '*' }

func keyByte(b byte) bool {
	return keyStart(b) || b >= '0' && b <= '9' || b == '_' || b == '-' || b == '.'
}

func tokenByte(b byte) bool {
	return isAlpha(b) || b >= '0' && b <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~:/", b) >= 0
}
