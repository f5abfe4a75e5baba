package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/http1"
	"github.com/banyanhq/banyan/resilience"
)

// forwarder sends the requests of a route to its upstream.
type forwarder struct {
	route   *Route
	calls   http.RoundTripper // the upstream, with the route's policies
	replays bool              // calls may be sent again
	waits   []string          // how long the gateway waits, as resilience.HeaderTimeout has it
}

// newForwarder returns what stands at the end of a route.
func newForwarder(r *Route, u *upstream, p *resilience.Policy) *forwarder {
	f := &forwarder{route: r, calls: u.entry, replays: r.Retry != nil}
	if r.Timeout > 0 {
		f.waits = []string{strconv.FormatInt(max(r.Timeout.Milliseconds(), 1), 10)}
	}
	if p != nil {
		f.calls = p.Transport(u.entry)
	}
	return f
}

// ServeHTTP implements http.Handler.
func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{}
	c.Begin(r.Context())
	defer c.End()
	late := &c.late
	late.begin(f.route.Timeout, &c.Lifetime)
	defer late.end()
	// Two that are asked at once would both inform the client, at the same time, and
	// the slower one perhaps when its answer is over already.
	if a := arrivalOf(c); w == http.ResponseWriter(&a.answer) && f.route.Hedge == nil {
		a.direct = true
	}
	out := f.outgoing(r, c)
	var resp *http.Response
	var err error
	if f.replays {
		if err = replayable(out); err != nil {
			err = http1.ClientFault(err)
		}
	}
	if err == nil {
		resp, err = f.calls.RoundTrip(out)
	}
	late.end()
	if err != nil {
		f.fail(w, r, err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		f.tunnel(w, resp, out.Header["Upgrade"] != nil)
		return
	}
	f.answer(w, resp)
}

// call is the context of a call to an upstream.
type call struct {
	http1.Lifetime
	late lateness
}

// errTimeout is the cause of a route's timeout.
var errTimeout = fmt.Errorf("the route's timeout: %w", context.DeadlineExceeded)

// errBodyLate is the cause when the client is waited for too long.
var errBodyLate = &http1.Error{Status: http.StatusRequestTimeout, Reason: "the body does not arrive"}

// bodyPause is how long a client may pause in its body; a longer timeout of the
// route allows more.
const bodyPause = 30 * time.Second

// lateness ends a call that takes too long: for the upstream, or, while the
// client sends its body, for the client. One must not be blamed for the other.
type lateness struct {
	after time.Duration
	call  *http1.Lifetime

	mu    sync.Mutex
	timer *time.Timer // guarded by mu
	cause error       // guarded by mu; who is waited for
	over  bool        // guarded by mu; nobody is any more
}

func (l *lateness) begin(after time.Duration, call *http1.Lifetime) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after, l.call, l.cause = after, call, errTimeout
	l.timer = time.AfterFunc(after, l.fired)
}

func (l *lateness) fired() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.call.Cancel(l.cause)
	}
}

// wait begins to wait anew.
func (l *lateness) wait(cause error, limit time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.cause = cause
		l.timer.Reset(limit)
	}
}

func (l *lateness) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.timer.Stop()
}

// awaited is a body that its client is still sending.
type awaited struct {
	io.ReadCloser
	late *lateness
}

func (a awaited) Read(p []byte) (int, error) {
	a.late.wait(errBodyLate, max(a.late.after, bodyPause))
	defer a.late.wait(errTimeout, a.late.after)
	return a.ReadCloser.Read(p)
}

// outgoing returns the request for the upstream.
func (f *forwarder) outgoing(r *http.Request, c *call) *http.Request {
	out := r.WithContext(c)
	if r.Body != nil && r.Body != http.NoBody && !http1.Arrived(r.Body) {
		out.Body = awaited{r.Body, &c.late}
	}
	if r.ContentLength < 0 && out.Body != nil {
		out.Trailer = http.Header{}
		out.Body = &trailing{out.Body, r, out.Trailer}
		copyTrailer(out.Trailer, r.Trailer) // over HTTP/2 their names are known now
	}
	out.Header = f.header(r)
	path := f.rewrite(arrivalOf(r.Context()).path)
	out.URL = &url.URL{Scheme: "http", Host: r.Host, Opaque: path, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	out.RequestURI = ""
	if f.route.Host != "" {
		out.Host = f.route.Host
	}
	return out
}

func (f *forwarder) rewrite(path string) string {
	if w := f.route.rewrite; w != nil {
		return w.path(&f.route.pattern, path)
	}
	if prefix := f.route.StripPrefix; prefix != "" {
		if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
		if path == "" {
			path = "/"
		}
	}
	return f.route.AddPrefix + path
}

// header returns what the upstream sees: the client's header without what is
// meant for one hop only (RFC 9110 §7.6.1), without what only the gateway may
// say, and without names that hold an underscore, which many servers read as a
// hyphen.
func (f *forwarder) header(r *http.Request) http.Header {
	out := make(http.Header, len(r.Header)+6)
	named := r.Header["Connection"]
	for name, values := range r.Header {
		if own[name] || strings.IndexByte(name, '_') >= 0 || len(named) > 0 && listed(named, name) {
			continue
		}
		out[name] = values
	}
	// What is no handshake (RFC 6455 §4.1) is not one for the upstream either. With
	// a body it is not: whose bytes the next ones are would be open.
	if r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ProtoMinor == 1 && r.ContentLength == 0 && toWebSocket(r.Header) {
		out["Upgrade"] = r.Header["Upgrade"]
	}
	if listed(r.Header["Te"], "trailers") {
		out["Te"] = []string{"trailers"}
	}
	a := arrivalOf(r.Context())
	c := a.client
	values := []string{c.via, c.scheme, r.Host, string(a.trace)}
	out["X-Forwarded-For"], out["X-Forwarded-Proto"], out["X-Forwarded-Host"] = values[0:1:1], values[1:2:2], values[2:3:3]
	out["Traceparent"] = values[3:4:4]
	if f.waits != nil {
		out[resilience.HeaderTimeout] = f.waits // so that nobody works for an answer that comes too late
	}
	return out
}

// toWebSocket reports whether a request asks for a WebSocket and nothing else, or an
// answer switches to it.
func toWebSocket(h http.Header) bool {
	upgrade := h["Upgrade"]
	return len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") && listed(h["Connection"], "Upgrade")
}

// own are the names that no client may send to an upstream: those of one hop, and
// those that say who the client is and what it asked for. It is read only.
var own = func() map[string]bool {
	m := map[string]bool{}
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Forwarded-Server",
		"X-Forwarded-By", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "X-Original-Url", "X-Original-Uri", "X-Original-Host", "X-Rewrite-Url",
		resilience.HeaderTimeout, resilience.HeaderAttempt, "X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X-Ssl-Client-Cert", "X-Ssl-Client-Verify", "X-Ssl-Client-Dn",
	} {
		m[http.CanonicalHeaderKey(name)] = true
	}
	return m
}()

// listed reports whether comma-separated lists hold a token, in any case.
func listed(lines []string, token string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// answer passes the upstream's answer on as it arrives.
func (f *forwarder) answer(w http.ResponseWriter, resp *http.Response) {
	h := w.Header()
	named := resp.Header["Connection"]
	for name, values := range resp.Header {
		if !hop[name] && (len(named) == 0 || !listed(named, name)) {
			h[name] = values
		}
	}
	for name := range resp.Trailer { // those that net/http's client announces
		h.Add("Trailer", name)
	}
	w.WriteHeader(resp.StatusCode)
	if resp.Body != http.NoBody {
		body := io.Reader(resp.Body)
		if c, ok := body.(*counted); ok {
			body = c.body
		}
		if resp.ContentLength < 0 && http1.Waits(body) {
			// A stream may begin long before its first piece, and the client has
			// to know: it may be who speaks first.
			_ = http.NewResponseController(w).Flush() // the copy shows if it failed
		}
		if _, err := http1.Copy(w, body); err != nil {
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
	}
	for name, values := range resp.Trailer {
		h[http.TrailerPrefix+name] = values
	}
}

// hop are the names of an answer that are meant for the gateway only. It is read
// only.
var hop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// counted is the body of an answer whose call is under way until it is closed.
type counted struct {
	body  io.ReadCloser
	of    *target
	ended atomic.Bool
}

func (c *counted) Read(p []byte) (int, error) { return c.body.Read(p) }

func (c *counted) Close() error {
	if c.ended.CompareAndSwap(false, true) {
		c.of.inFlight.Add(-1)
	}
	return c.body.Close()
}

// fail answers for an upstream that did not. Nothing of the error is shown: it
// may hold internal addresses.
func (f *forwarder) fail(w http.ResponseWriter, r *http.Request, err error) {
	var fault *http1.Error
	cause := context.Cause(r.Context())
	arrivalOf(r.Context()).because(err)
	switch {
	case errors.Is(cause, http1.ErrClientGone) || errors.Is(cause, context.Canceled):
		panic(http.ErrAbortHandler) // nobody is there
	case errors.As(err, &fault) && fault.Status < 500:
		w.Header().Set("Connection", "close")
		Problem(w, fault.Status, fault.Reason)
	case errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded):
		Problem(w, http.StatusGatewayTimeout, "the service behind did not answer in time")
	case errors.Is(err, banyan.ErrUnavailable) || errors.Is(err, http1.ErrNotSent):
		w.Header().Set("Retry-After", retryAfter(err))
		Problem(w, http.StatusServiceUnavailable, "the service behind cannot be reached")
	default:
		Problem(w, http.StatusBadGateway, "the service behind gave no valid answer")
	}
}

// retryAfter returns the seconds after which it makes sense to try again.
func retryAfter(err error) string {
	var e *resilience.Error
	if errors.As(err, &e) && e.RetryAfter > time.Second {
		return strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10)
	}
	return "1"
}

// tunnel connects the client with an upstream that switched protocols. One that was
// not asked to, or switched to another, is not believed (RFC 9110 §15.2.2): the
// client's next request would be taken for frames, or bytes for answers.
func (f *forwarder) tunnel(w http.ResponseWriter, resp *http.Response, asked bool) {
	behind, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || !asked || !toWebSocket(resp.Header) {
		Problem(w, http.StatusBadGateway, "the service behind gave no valid answer")
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		Problem(w, http.StatusHTTPVersionNotSupported, "this needs HTTP/1.1")
		return
	}
	defer conn.Close()
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
	for name, values := range resp.Header {
		if name == "Upgrade" || !hop[name] {
			for _, v := range values {
				head += name + ": " + v + "\r\n"
			}
		}
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return
	}
	both(conn, behind)
}

// both copies in both directions until both have ended.
func both(a, b io.ReadWriteCloser) {
	var ways sync.WaitGroup
	ways.Go(func() { oneWay(a, b) })
	ways.Go(func() { oneWay(b, a) })
	ways.Wait()
}

// oneWay copies to the end, and passes the end on. Who takes no more may have said
// why before: if writing fails, the end of what comes from there ends both ways.
func oneWay(to, from io.ReadWriteCloser) {
	taker := taker{Writer: to}
	_, err := io.Copy(&taker, from)
	if taker.gone {
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		if err = half.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			return // an error means that it is gone, as above
		}
	}
	_ = to.Close()
	_ = from.Close()
}

// taker remembers that writing to it failed.
type taker struct {
	io.Writer
	gone bool
}

func (t *taker) Write(p []byte) (int, error) {
	n, err := t.Writer.Write(p)
	t.gone = err != nil
	return n, err
}
