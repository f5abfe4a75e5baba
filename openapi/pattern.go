package openapi

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

// What ECMA-262 means where RE2 means something else.
const (
	spaces       = `\t\n\v\f\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	noSpaces     = `\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
	noBreak      = `[^\n\r\x{2028}\x{2029}]`
	noCharacter  = `[^\x{0}-\x{10ffff}]`
	anyCharacter = `[\x{0}-\x{10ffff}]`
)

// compilePattern compiles a pattern of ECMA-262 as one of RE2, which never backtracks.
func compilePattern(text string) (*regexp.Regexp, error) {
	t := &translation{rest: text}
	for t.rest != "" {
		if err := t.next(); err != nil {
			return nil, err
		}
	}
	return regexp.Compile(t.out.String())
}

// translation writes a pattern anew, part by part.
type translation struct {
	rest   string
	out    strings.Builder
	inside bool // a class in brackets
}

// take writes what stands for the next n bytes.
func (t *translation) take(n int, text string) {
	t.out.WriteString(text)
	t.rest = t.rest[n:]
}

func (t *translation) next() error {
	switch c := t.rest[0]; {
	case c == '\\':
		return t.escape()
	case t.inside && c == '[':
		t.take(1, `\[`) // RE2 has classes in classes, as [[:alpha:]]
	case t.inside && c == ']':
		t.inside = false
		t.take(1, "]")
	case t.inside:
		t.take(1, t.rest[:1])
	case strings.HasPrefix(t.rest, "[]"):
		t.take(2, noCharacter)
	case strings.HasPrefix(t.rest, "[^]"):
		t.take(3, anyCharacter)
	case strings.HasPrefix(t.rest, "[^"):
		t.inside = true
		t.take(2, "[^")
	case c == '[':
		t.inside = true
		t.take(1, "[")
	case c == '.':
		t.take(1, noBreak)
	default:
		t.take(1, t.rest[:1])
	}
	return nil
}

// escape writes a backslash and what it escapes.
func (t *translation) escape() error {
	if len(t.rest) < 2 {
		return errors.New("it ends with a backslash")
	}
	switch c := t.rest[1]; {
	case c == 's':
		t.take(2, t.class(spaces))
	case c == 'S':
		t.take(2, t.class(noSpaces))
	case c == 'u':
		n, char := unicodeEscape(t.rest)
		if n == 0 {
			return errors.New(`\u without four digits, or half a surrogate pair`)
		}
		t.take(n, fmt.Sprintf(`\x{%x}`, char))
	case c == 'c' && len(t.rest) > 2 && (t.rest[2]|0x20) >= 'a' && (t.rest[2]|0x20) <= 'z':
		t.take(3, fmt.Sprintf(`\x{%x}`, t.rest[2]&0x1f))
	case c == 'b' && t.inside:
		t.take(2, `\x{8}`)
	case strings.IndexByte("QECaAz", c) >= 0:
		return fmt.Errorf(`\%c is not of ECMA-262`, c)
	default:
		t.take(2, t.rest[:2])
	}
	return nil
}

func (t *translation) class(members string) string {
	if t.inside {
		return members
	}
	return "[" + members + "]"
}

// unicodeEscape returns how long the escape is that text begins with, and its
// character: \uXXXX, a pair of them, or \u{X}. 0: it is none.
func unicodeEscape(text string) (n int, char rune) {
	if digits, ok := strings.CutPrefix(text, `\u{`); ok {
		digits, _, ok = strings.Cut(digits, "}")
		value, err := strconv.ParseUint(digits, 16, 32)
		if !ok || err != nil || value > 0x10ffff {
			return 0, 0
		}
		return len(`\u{}`) + len(digits), rune(value)
	}
	first, ok := hex4([]byte(text[:min(len(text), 6)]))
	if !ok || !utf16.IsSurrogate(first) {
		return map[bool]int{true: 6}[ok], first
	}
	second, _ := hex4([]byte(text[6:min(len(text), 12)]))
	if char = utf16.DecodeRune(first, second); char == '\uFFFD' {
		return 0, 0
	}
	return 12, char
}
