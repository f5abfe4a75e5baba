package browser

import (
	"fmt"
	"net/url"
	"strings"
)

// origin is one that is allowed, or many: prefix*suffix.
type origin struct {
	prefix, suffix string
	wild           bool
}

// parseOrigin reads the serialisation of an origin (RFC 6454 §6.1), as browsers
// send it: lower case, without the port that its scheme has anyway.
func parseOrigin(text string) (origin, error) {
	bad := func(why string) (origin, error) {
		return origin{}, fmt.Errorf("%q is not an origin such as https://shop.example: %s", text, why)
	}
	wild := strings.Contains(text, "//*.")
	u, err := url.Parse(strings.ToLower(strings.Replace(text, "//*.", "//", 1)))
	switch {
	case err != nil:
		return bad("it cannot be read")
	case u.Scheme == "" || u.Host == "" || u.Hostname() == "":
		return bad("it has no scheme or no host")
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(text, "?#"):
		return bad("it has more than scheme, host and port")
	case strings.ContainsAny(u.Host, "*, "):
		return bad("a * stands for whole labels, at the beginning of a host only")
	case wild && !strings.Contains(u.Hostname(), ".") && u.Hostname() != "localhost":
		return bad("everybody can have a host under that domain")
	}
	host := u.Host
	if port := u.Port(); port == "" || port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		host = strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
	}
	if wild {
		return origin{u.Scheme + "://", "." + host, true}, nil
	}
	return origin{prefix: u.Scheme + "://" + host}, nil
}

func (o origin) matches(text string) bool {
	if !o.wild {
		return text == o.prefix
	}
	rest, ok := strings.CutPrefix(text, o.prefix)
	if !ok {
		return false
	}
	labels, ok := strings.CutSuffix(rest, o.suffix)
	return ok && hostLabels(labels)
}

// hostLabels reports whether s is labels of a host name: nothing that ends a host
// in some parser.
func hostLabels(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// origins are those that are allowed.
type origins struct {
	all, null bool
	list      []origin
}

// newOrigins takes checked texts.
func newOrigins(texts []string) *origins {
	o := &origins{}
	for _, text := range texts {
		switch text {
		case "*":
			o.all = true
		case "null":
			o.null = true
		default:
			parsed, _ := parseOrigin(text)
			o.list = append(o.list, parsed)
		}
	}
	return o
}

func (o *origins) allow(text string) bool {
	if text == "null" {
		return o.null || o.all
	}
	if o.all {
		return text != ""
	}
	for i := range o.list {
		if o.list[i].matches(text) {
			return true
		}
	}
	return false
}
