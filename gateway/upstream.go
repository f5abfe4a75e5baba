package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/http1"
	"github.com/banyanhq/banyan/resilience"
)

// upstream is a set of targets and the choice among them.
type upstream struct {
	name     string
	config   Upstream
	entry    http.RoundTripper // the upstream itself, or what sheds in front of it
	resolver *net.Resolver
	sticky   func(*http.Request) string // "": no key
	targets  atomic.Pointer[[]*target]
	stop     context.CancelFunc // of the health checks and lookups
	running  sync.WaitGroup     // health checks and lookups
}

// target is one server.
type target struct {
	url     *url.URL
	address netip.Addr // of the host; zero: what its name means when it is connected to
	client  http.RoundTripper
	policy  *resilience.Policy // of its calls; nil: there is none
	close   func() error
	stop    context.CancelFunc // of the health check; nil: there is none

	inFlight atomic.Int64
	latency  atomic.Int64 // until the head of the answer, in ns: a moving average
	measured atomic.Int64 // when it was last added to, in ns since 1970
	calls    atomic.Int64
	failures atomic.Int64 // of calls
	health   health
}

func newUpstream(name string, config Upstream, resolver *net.Resolver) (*upstream, error) {
	config.defaults()
	u := &upstream{name: name, config: config, resolver: resolver}
	u.sticky = stickyKey(config.Sticky)
	u.entry = u
	shed, err := config.Shed.policy(name)
	if err != nil {
		return nil, err
	}
	if shed != nil {
		u.entry = shed.Transport(u)
	}
	targets := make([]*target, 0, len(config.Targets))
	u.targets.Store(&targets)
	for _, text := range config.Targets {
		t, err := newTarget(text, netip.Addr{}, &config)
		if err != nil {
			return nil, errors.Join(err, u.Close())
		}
		targets = append(targets, t)
	}
	return u, nil
}

// watch starts the health checks and the lookups. Until the first lookup has ended
// each target is what its name means.
func (u *upstream) watch(log *slog.Logger) {
	ctx, stop := context.WithCancel(context.Background())
	u.stop = stop
	for _, t := range u.all() {
		u.begin(ctx, t)
	}
	if u.config.Resolve > 0 {
		u.running.Go(func() { u.resolve(ctx, log) })
	}
}

// begin starts the health checks of a target.
func (u *upstream) begin(ctx context.Context, t *target) {
	if u.config.Health.Path == "" {
		return
	}
	ctx, t.stop = context.WithCancel(ctx)
	u.running.Go(func() { t.watch(ctx) })
}

// end ends the health checks of a target and releases its idle connections. Calls
// under way go on.
func (t *target) end() error {
	if t.stop != nil {
		t.stop()
	}
	return t.close()
}

func newTarget(text string, address netip.Addr, config *Upstream) (*target, error) {
	at, err := parseTarget(text)
	if err != nil {
		return nil, err
	}
	t := &target{url: at, address: address}
	t.health.init(config)
	policy, err := config.policy(at.Host)
	if err != nil {
		return nil, err
	}
	if err := t.connect(config); err != nil {
		return nil, err
	}
	if policy != nil {
		t.policy, t.client = policy, policy.Transport(t.client)
	}
	return t, nil
}

// maxAnswerHead is how long the head of an upstream's answer may be, in bytes, in
// both protocols. HTTP/2 counts 32 more for each field (RFC 9113 §6.5.2).
const maxAnswerHead = 64 << 10

// connect makes the client of a target.
func (t *target) connect(config *Upstream) error {
	at := t.url
	secure, err := config.TLS.config()
	if err != nil {
		return err
	}
	if config.Protocol == "h2" {
		t.client, t.close = newHTTP2(t, config, secure)
		return nil
	}
	options := &http1.ClientOptions{
		Dial:    t.dial(config.ConnectTimeout),
		MaxIdle: config.MaxIdle, IdleTimeout: config.IdleTimeout, MaxHeadBytes: maxAnswerHead,
	}
	port := "80"
	if at.Scheme == "https" {
		port, options.TLS = "443", secure
	}
	if at.Port() != "" {
		port = at.Port()
	}
	client, err := http1.NewClient(net.JoinHostPort(at.Hostname(), port), options)
	if err != nil {
		return err
	}
	t.client, t.close = client, client.Close
	return nil
}

// newHTTP2 returns a client for a target that speaks HTTP/2, such as a gRPC
// server: over TLS, or in the clear by prior knowledge.
func newHTTP2(t *target, config *Upstream, secure *tls.Config) (http.RoundTripper, func() error) {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		DialContext: t.dial(config.ConnectTimeout), TLSClientConfig: secure,
		TLSHandshakeTimeout: config.ConnectTimeout, IdleConnTimeout: config.IdleTimeout, DisableCompression: true, Protocols: protocols,
		MaxResponseHeaderBytes: maxAnswerHead,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
	return &http2Client{at: t.url, transport: transport}, func() error {
		transport.CloseIdleConnections()
		return nil
	}
}

// http2Client sends every request to one target.
type http2Client struct {
	at        *url.URL
	transport *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (c *http2Client) RoundTrip(r *http.Request) (*http.Response, error) {
	out := *r
	u := *r.URL
	u.Scheme, u.Host = c.at.Scheme, c.at.Host
	out.URL = &u
	if r.Header["Upgrade"] != nil {
		// HTTP/2 has none (RFC 9113 §8.6), and net/http refuses to send it, which would
		// count as a failure of the server. It may be ignored (RFC 9110 §7.8).
		out.Header = r.Header.Clone()
		delete(out.Header, "Upgrade")
	}
	body := &clientBody{ReadCloser: r.Body}
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = body
	}
	resp, err := c.transport.RoundTrip(&out)
	if err == nil {
		return resp, nil
	}
	if broken := body.err.Load(); broken != nil {
		return nil, http1.ClientFault(*broken)
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return nil, fmt.Errorf("gateway: call %s: %w: %w: %w", c.at.Host, http1.ErrNotSent, banyan.ErrUnavailable, err)
	}
	if cause := context.Cause(r.Context()); cause != nil {
		err = cause
	}
	return nil, fmt.Errorf("gateway: call %s: %w", c.at.Host, err)
}

// clientBody remembers why it could not be read: that is the client's fault.
type clientBody struct {
	io.ReadCloser
	err atomic.Pointer[error]
}

func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err.Store(&err)
	}
	return n, err
}

// Close ends the health checks and releases the connections. Calls under way go
// on, and so do those that begin late.
func (u *upstream) Close() error {
	if u.stop != nil {
		u.stop()
	}
	u.running.Wait()
	var errs []error
	for _, t := range u.all() {
		errs = append(errs, t.end())
	}
	return errors.Join(errs...)
}

func stickyKey(text string) func(*http.Request) string {
	kind, name, _ := parseSticky(text) // check has seen it
	switch kind {
	case "client":
		return func(r *http.Request) string { return arrivalOf(r.Context()).client.address }
	case "header":
		return func(r *http.Request) string { return r.Header.Get(name) }
	case "cookie":
		return func(r *http.Request) string {
			if c, err := r.Cookie(name); err == nil {
				return c.Value
			}
			return ""
		}
	}
	return func(*http.Request) string { return "" }
}

// pick chooses a target, but none of those that were tried. nil: there is none.
//
// Of two targets taken at random the idler one is chosen (the power of two choices;
// Mitzenmacher 2001).
// One that a health check has found down gets nothing. One that was put aside
// because calls to it failed gets something only if all are put aside.
func (u *upstream) pick(r *http.Request, tried []*target) *target {
	now := time.Now()
	if targets := u.all(); len(targets) == 1 && len(tried) == 0 {
		if t := targets[0]; t.health.verdict(now) != down {
			return t
		}
		return nil
	}
	candidates := u.candidates(now, tried, well)
	if len(candidates) == 0 {
		candidates = u.candidates(now, tried, aside)
	}
	switch len(candidates) {
	case 0:
		return nil
	case 1:
		return candidates[0]
	}
	if key := u.sticky(r); key != "" {
		return bound(key, candidates)
	}
	i := rand.IntN(len(candidates))
	j := rand.IntN(len(candidates) - 1)
	if j >= i {
		j++
	}
	a, b := candidates[i], candidates[j]
	if b.idler(a, now, u.config.SlowStart) {
		return b
	}
	return a
}

func (u *upstream) candidates(now time.Time, tried []*target, wanted verdict) []*target {
	var found []*target
next:
	for _, t := range u.all() {
		for _, other := range tried {
			if t == other {
				continue next
			}
		}
		if t.health.verdict(now) == wanted {
			found = append(found, t)
		}
	}
	return found
}

// bound chooses by rendezvous hashing: when a target goes, only its own clients
// move (Thaler and Ravishankar 1998). The hash is the same in every gateway and
// after every start, so that all of them send a client to the same target.
func bound(key string, candidates []*target) *target {
	var best *target
	var most uint64
	for _, t := range candidates {
		sum := sha256.Sum256([]byte(t.url.Host + t.at() + "\x00" + key))
		if h := binary.BigEndian.Uint64(sum[:]); best == nil || h > most {
			best, most = t, h
		}
	}
	return best
}

// at is the address that a name has stood for, "" if it was not looked up.
func (t *target) at() string {
	if !t.address.IsValid() || t.address.String() == t.url.Hostname() {
		return ""
	}
	return " (" + t.address.String() + ")"
}

const (
	// alike are latencies that differ by less than this factor: between equal
	// targets chance must not choose one for good.
	alike = 2
	// negligible is a latency below which targets are alike: the first call to one
	// has to connect.
	negligible = time.Millisecond
	// forgetting is the time in which a latency that nobody measures any more
	// fades to a third: a target that was slow once, as when it was first connected
	// to, would get no call that shows that it is not.
	forgetting = 10 * time.Second
)

// idler reports whether one more call should go to t rather than to another
// target: by calls under way and latency, which fades with time (as Finagle's peak
// EWMA does). A target that came back a moment ago seems busier than it is.
func (t *target) idler(other *target, now time.Time, slowStart time.Duration) bool {
	mine, others := t.expected(now), other.expected(now)
	if max(mine, others) < alike*min(mine, others) {
		mine, others = 1, 1
	}
	mine *= float64(t.inFlight.Load()+1) / t.health.share(now, slowStart)
	others *= float64(other.inFlight.Load()+1) / other.health.share(now, slowStart)
	return mine < others
}

// expected is the latency that a call will probably have, in ns.
func (t *target) expected(now time.Time) float64 {
	return max(t.faded(now), float64(negligible))
}

// faded is the moving average as it is still believed, in ns.
func (t *target) faded(now time.Time) float64 {
	latency := float64(t.latency.Load())
	if age := now.Sub(time.Unix(0, t.measured.Load())); age > 0 {
		latency *= math.Exp(-float64(age) / float64(forgetting))
	}
	return latency
}

// errNoTarget: every target is down.
var errNoTarget = errors.New("no target is well")

// RoundTrip implements http.RoundTripper: it sends a request to a target. It goes
// to another one only if nothing of it was sent.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	var tried []*target
	var last error
	for {
		t := u.pick(r, tried)
		if t == nil {
			if len(tried) > 0 {
				return nil, fmt.Errorf("gateway: upstream %s: %d targets cannot be reached: %w: %w", u.name, len(tried), banyan.ErrUnavailable, last)
			}
			return nil, fmt.Errorf("gateway: upstream %s: %w: %w", u.name, banyan.ErrUnavailable, errNoTarget)
		}
		resp, err := t.call(r)
		if err == nil || !errors.Is(err, banyan.ErrUnavailable) || r.Context().Err() != nil {
			return resp, err
		}
		tried, last = append(tried, t), err
	}
}

// call counts a call to the target and learns from it.
func (t *target) call(r *http.Request) (*http.Response, error) {
	t.inFlight.Add(1)
	t.calls.Add(1)
	start := time.Now()
	resp, err := t.client.RoundTrip(r)
	if err != nil {
		t.inFlight.Add(-1)
		t.learn(r.Context(), err)
		return nil, err
	}
	t.took(start, time.Now())
	t.health.succeeded()
	if resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		t.inFlight.Add(-1)
		return resp, nil
	}
	resp.Body = &counted{body: resp.Body, of: t}
	return resp, nil
}

// learn counts a failure, unless it is the client's: its body, or its going away.
// A call that somebody here ended says nothing either, such as the loser of a
// hedge.
func (t *target) learn(ctx context.Context, err error) {
	var turnedAway *resilience.Error
	if errors.As(err, &turnedAway) && turnedAway.Rejected() {
		return // nothing was tried
	}
	var fault *http1.Error
	cause := context.Cause(ctx)
	if errors.As(err, &fault) && fault.Status < 500 || errors.Is(cause, http1.ErrClientGone) || errors.Is(cause, context.Canceled) || errors.Is(cause, http1.ErrServerClosed) {
		return // HTTP/2 has no other cause than context.Canceled for a client that is gone
	}
	t.failures.Add(1)
	t.health.failed(time.Now())
}

// took adds to the moving average; each call weighs an eighth.
func (t *target) took(start, end time.Time) {
	d, old := float64(end.Sub(start)), t.faded(end)
	t.measured.Store(end.UnixNano())
	if old == 0 {
		old = d
	}
	t.latency.Store(int64(old + (d-old)/8)) // a lost race loses one of many
}
