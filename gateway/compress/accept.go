package compress

import "strings"

// choose returns the encoding that a client likes best among those offered, the
// first of them at equal liking; "" is none. must says that the client does not
// take the answer without one.
//
// Without the header a client takes everything (RFC 9110 §12.5.3); but one that
// does not say so may not know how to read it, so it gets what was written.
func choose(lines, offered []string) (name string, must bool) {
	if len(lines) == 0 {
		return "", false
	}
	w := weights(lines)
	plain, named := w.of("identity")
	must = plain == 0 && (named || w.any == 0)
	best := 0
	for _, o := range offered {
		q, _ := w.of(o)
		if q > best {
			best, name = q, o
		}
	}
	if best == 0 || best < plain {
		return "", must
	}
	return name, must
}

// liking are the weights of an Accept-Encoding in thousandths; -1 is not there.
type liking struct {
	gzip, zstd, identity, any int
}

// of returns the weight of a coding, and whether it is named itself.
func (l *liking) of(name string) (q int, named bool) {
	p := l.place(name)
	switch {
	case p != nil && *p >= 0:
		return *p, true
	case l.any > 0:
		return l.any, false
	}
	return 0, false
}

func (l *liking) place(name string) *int {
	switch {
	case strings.EqualFold(name, "gzip") || strings.EqualFold(name, "x-gzip"): // RFC 9110 §8.4.1.3
		return &l.gzip
	case strings.EqualFold(name, "zstd"):
		return &l.zstd
	case strings.EqualFold(name, "identity"):
		return &l.identity
	case name == "*":
		return &l.any
	}
	return nil
}

// weights reads the lines. Of what is named twice the smaller weight counts: who
// refuses a coding once does not get it.
func weights(lines []string) *liking {
	l := &liking{-1, -1, -1, -1}
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			name, params, weighted := strings.Cut(item, ";")
			p := l.place(strings.Trim(name, " \t"))
			if p == nil {
				continue
			}
			q := 1000
			if weighted {
				var ok bool
				if q, ok = weight(strings.Trim(params, " \t")); !ok {
					continue
				}
			}
			if *p < 0 || q < *p {
				*p = q
			}
		}
	}
	return l
}

// weight reads "q=0.5" in thousandths (RFC 9110 §12.4.2).
func weight(s string) (int, bool) {
	if len(s) < 3 || len(s) > 7 || s[0]|0x20 != 'q' || s[1] != '=' {
		return 0, false
	}
	whole, rest := s[2], s[3:]
	if whole != '0' && whole != '1' || rest != "" && rest[0] != '.' {
		return 0, false
	}
	q, unit := int(whole-'0')*1000, 100
	for i := 1; i < len(rest); i++ {
		if rest[i] < '0' || rest[i] > '9' {
			return 0, false
		}
		q += int(rest[i]-'0') * unit
		unit /= 10
	}
	return q, q <= 1000
}
