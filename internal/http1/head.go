package http1

import (
	"context"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// parseRequest reads a head that headEnd has found: text ends with an empty
// line and every LF follows a CR. What it returns shares the memory of text.
func parseRequest(ctx context.Context, text string, methods map[string]bool) (*http.Request, *Error) {
	line, rest, _ := strings.Cut(text, "\r\n")
	r := (&http.Request{ProtoMajor: 1}).WithContext(ctx) // now, because later it would be a copy
	if err := setLine(r, line, methods); err != nil {
		return nil, err
	}
	var err *Error
	if r.Header, err = parseFields(rest); err != nil {
		return nil, err
	}
	if err := setTarget(r); err != nil {
		return nil, err
	}
	if err := setBody(r); err != nil {
		return nil, err
	}
	r.Close = r.ProtoMinor == 0 && !hasToken(r.Header["Connection"], "keep-alive") || hasToken(r.Header["Connection"], "close")
	return r, nil
}

// setLine reads the request line (RFC 9112 §3): exactly one space between the parts.
func setLine(r *http.Request, line string, methods map[string]bool) *Error {
	method, rest, ok1 := strings.Cut(line, " ")
	target, proto, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || !IsToken(method) || target == "" || !all(target, targetByte) {
		return bad("the request line is not METHOD SP target SP version")
	}
	switch proto {
	case "HTTP/1.1":
		r.ProtoMinor = 1
	case "HTTP/1.0":
	default:
		return badVersion(method, proto)
	}
	switch {
	case methods[method]:
	case method == "CONNECT" || method == "TRACE":
		return refuse(http.StatusMethodNotAllowed, "CONNECT and TRACE are not served")
	default:
		return refuse(http.StatusNotImplemented, "unknown method")
	}
	r.Method, r.RequestURI, r.Proto = method, target, proto
	return nil
}

func badVersion(method, proto string) *Error {
	version, ok := strings.CutPrefix(proto, "HTTP/")
	if !ok || len(version) != 3 || version[0] < '0' || version[0] > '9' || version[1] != '.' || version[2] < '0' || version[2] > '9' {
		return bad("the request line is not METHOD SP target SP version")
	}
	if method == "PRI" {
		return bad("HTTP/2 is not served here")
	}
	return refuse(http.StatusHTTPVersionNotSupported, "HTTP/1.1 and 1.0 are served")
}

// parseFields reads field lines up to the empty line (RFC 9112 §5).
func parseFields(text string) (http.Header, *Error) {
	n := strings.Count(text, "\n") - 1
	h := make(http.Header, n)
	values := make([]string, n) // one allocation for the slices of all fields
	for text != "\r\n" && text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\r\n")
		name, value, err := parseField(line)
		if err != nil {
			return nil, err
		}
		if had := h[name]; had != nil {
			h[name] = append(had, value)
			continue
		}
		values[0] = value
		h[name], values = values[:1:1], values[1:]
	}
	return h, nil
}

func parseField(line string) (name, value string, err *Error) {
	colon := strings.IndexByte(line, ':')
	if colon < 0 || !IsToken(line[:colon]) { // also a fold, and a space before the colon
		return "", "", bad("a header line is not name: value")
	}
	value = strings.Trim(line[colon+1:], " \t")
	if !all(value, fieldByte) {
		return "", "", bad("a header value has a control character")
	}
	return canonicalName(line[:colon]), value, nil
}

// canonicalName is textproto.CanonicalMIMEHeaderKey without its allocation for
// names that are canonical, or common and in lower case.
func canonicalName(name string) string {
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && c >= 'a' && c <= 'z' || !upper && c >= 'A' && c <= 'Z' {
			if common, ok := commonNames[name]; ok {
				return common
			}
			return textproto.CanonicalMIMEHeaderKey(name)
		}
		upper = c == '-'
	}
	return name
}

// commonNames is read only.
var commonNames = func() map[string]string {
	m := map[string]string{}
	for _, n := range []string{
		"Host", "User-Agent", "Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection",
		"Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Date", "Etag", "Expires", "Idempotency-Key",
		"If-Match", "If-Modified-Since", "If-None-Match", "Keep-Alive", "Last-Modified", "Location", "Origin", "Pragma",
		"Priority", "Referer", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode",
		"Sec-Fetch-Site", "Sec-Fetch-User", "Server", "Set-Cookie", "Te", "Traceparent", "Tracestate", "Transfer-Encoding",
		"Upgrade", "Upgrade-Insecure-Requests", "Vary", "Via", "Www-Authenticate", "X-Correlation-Id", "X-Forwarded-For",
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Request-Id",
	} {
		m[strings.ToLower(n)] = n
	}
	return m
}()

// setTarget fills Host and URL (RFC 9112 §3.2). The authority of an absolute
// target wins over Host; two that differ are refused, because someone behind may
// look at the other.
func setTarget(r *http.Request) *Error {
	hosts := r.Header["Host"]
	if len(hosts) > 1 || len(hosts) == 0 && r.ProtoMinor == 1 {
		return bad("not exactly one Host")
	}
	if len(hosts) == 1 {
		if r.Host = hosts[0]; !ValidHost(r.Host) {
			return bad("Host is not a host")
		}
		delete(r.Header, "Host")
	}
	target := r.RequestURI
	switch {
	case target[0] == '/':
	case target == "*":
		if r.Method != http.MethodOptions {
			return bad("the target * is for OPTIONS")
		}
		r.URL = &url.URL{Path: "*"}
		return nil
	default:
		var err *Error
		if target, err = absolute(r, target); err != nil {
			return err
		}
	}
	return setURL(r, target)
}

// absolute takes the authority from an absolute-form target and returns its
// origin-form.
func absolute(r *http.Request, target string) (string, *Error) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return "", bad("the target is neither a path nor an http URL")
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if !ValidHost(authority) {
		return "", bad("the authority of the target is not a host")
	}
	if r.Host != "" && !strings.EqualFold(r.Host, authority) {
		return "", bad("Host differs from the authority of the target")
	}
	r.Host = authority
	if path == "" || path[0] == '?' {
		path = "/" + path
	}
	return path, nil
}

func setURL(r *http.Request, target string) *Error {
	path, query, hasQuery := strings.Cut(target, "?")
	u := &url.URL{Path: path, RawQuery: query, ForceQuery: hasQuery && query == ""}
	if strings.IndexByte(path, '%') >= 0 {
		var err error
		if u.Path, err = url.PathUnescape(path); err != nil {
			return bad("the path has a broken escape")
		}
		u.RawPath = path
	}
	r.URL = u
	return nil
}

// setBody decides how the body is framed (RFC 9112 §6). Whatever two readers
// could understand differently is refused.
func setBody(r *http.Request) *Error {
	length, chunked, err := framing(r.Header)
	if err != nil {
		return err
	}
	if chunked && r.ProtoMinor == 0 {
		return bad("Transfer-Encoding in HTTP/1.0")
	}
	r.ContentLength = length
	if chunked {
		r.ContentLength = -1
		r.TransferEncoding = []string{"chunked"}
		delete(r.Header, "Transfer-Encoding")
	}
	if expect, ok := r.Header["Expect"]; ok {
		if len(expect) != 1 || !strings.EqualFold(expect[0], "100-continue") {
			return refuse(http.StatusExpectationFailed, "the only expectation is 100-continue")
		}
	}
	return nil
}

// framing reads Content-Length and Transfer-Encoding; the length is 0 where there
// is neither, which only a request may take for an empty body.
func framing(h http.Header) (length int64, chunked bool, err *Error) {
	lengths, codings := h["Content-Length"], h["Transfer-Encoding"]
	switch {
	case codings == nil && lengths == nil:
		return 0, false, nil
	case codings != nil && lengths != nil:
		return 0, false, bad("both Content-Length and Transfer-Encoding")
	case codings != nil:
		if len(codings) != 1 {
			return 0, false, bad("Transfer-Encoding in two lines")
		}
		if !strings.EqualFold(codings[0], "chunked") {
			return 0, false, refuse(http.StatusNotImplemented, "the only transfer coding is chunked")
		}
		return 0, true, nil
	case len(lengths) != 1:
		return 0, false, bad("Content-Length in two lines")
	}
	length, ok := parseLength(lengths[0])
	if !ok {
		return 0, false, bad("Content-Length is not a number")
	}
	return length, false, nil
}

// parseLength reads digits only: no sign, no list, nothing that could overflow.
func parseLength(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}
