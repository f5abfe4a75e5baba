package resilience

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/banyanhq/banyan"
)

// Answer answers a request whose call failed with problem details (RFC 9457), in
// the shape that package app uses: 503 with Retry-After when it was turned away
// or the dependency is not there, 504 when time ran out, 502 when it failed
// otherwise, 400 or 413 when the request's own body was at fault. The text says
// nothing about the inside; the error is for the log.
func Answer(w http.ResponseWriter, err error) {
	pr, after := describe(err)
	h := w.Header()
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	body, _ := json.Marshal(pr) // strings, a number and a bool
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	for _, stale := range []string{"Content-Encoding", "Etag", "Last-Modified", "Trailer"} {
		h.Del(stale)
	}
	w.WriteHeader(pr.Status)
	_, _ = w.Write(body) // the client has gone
}

type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Kind      string `json:"kind"`
	Retryable bool   `json:"retryable"`
}

const (
	again     = "Send the same request again."
	againOnce = "It is not known whether this was done. Send the same request again with the same idempotency key."
)

func describe(err error) (problem, time.Duration) {
	away := turnedAway(err)
	pr := problem{Kind: "unavailable", Retryable: true, Detail: "Something this needs does not answer as it should. " + again}
	var after time.Duration
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		pr = problem{Status: http.StatusRequestEntityTooLarge, Kind: "invalid", Detail: "The request is too large."}
	case errors.Is(err, banyan.ErrInvalid):
		pr = problem{Status: http.StatusBadRequest, Kind: "invalid", Detail: "The request could not be read."}
	case errors.Is(err, context.DeadlineExceeded):
		pr.Status, pr.Kind, pr.Detail = http.StatusGatewayTimeout, "timeout", "It took too long. "+again
	case away != nil:
		pr.Status, after, pr.Detail = http.StatusServiceUnavailable, away.RetryAfter, "There is more to do than can be done now. "+again
	case errors.Is(err, banyan.ErrUnavailable) && dialing(err), errors.Is(err, context.Canceled):
		pr.Status, after = http.StatusServiceUnavailable, time.Second
	default:
		pr.Status = http.StatusBadGateway
	}
	if errors.Is(err, banyan.ErrUnknown) {
		pr.Kind, pr.Detail = "unknown-outcome", againOnce
	}
	pr.Title = http.StatusText(pr.Status)
	return pr, after
}

// turnedAway finds the Policy that did it, which may stand below another.
func turnedAway(err error) *Error {
	var e *Error
	for errors.As(err, &e) {
		if e.turnedAway() {
			return e
		}
		err = e.Err
	}
	return nil
}

func dialing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// timeLeft is how long a handler may take to begin its answer; 0 is no limit.
func (p *Policy) timeLeft(ctx context.Context) time.Duration {
	limit := p.opts.Timeout
	if p.opts.Deadline == nil {
		return limit
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := max(1, time.Until(deadline))
		if limit == 0 || left < limit {
			return left
		}
	}
	return limit
}

// answer is the ResponseWriter of a handler that may be too late. The handler
// has a header map of its own, because the 504 is written while it runs.
type answer struct {
	policy *Policy
	req    *http.Request
	cancel context.CancelCauseFunc
	header http.Header

	mu    sync.Mutex // guards what follows, and w until the answer has begun
	w     http.ResponseWriter
	timer *time.Timer
	begun bool // by the handler
	late  bool // answered with 504
}

func newAnswer(p *Policy, w http.ResponseWriter, r *http.Request, cancel context.CancelCauseFunc) *answer {
	return &answer{policy: p, w: w, req: r, cancel: cancel, header: w.Header().Clone()}
}

func (a *answer) start(limit time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer = time.AfterFunc(limit, a.expire)
}

// stop also waits for an expire that is under way: w must not be used after the
// request.
func (a *answer) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer.Stop()
	a.begun = true
}

// expire runs when the time is over.
func (a *answer) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.begun {
		return
	}
	a.tooLate()
	a.cancel(errTimeout)
}

// tooLate answers with 504; mu is held. Flushing shows it to the client although
// the handler has not returned.
//
// net/http reads what is left of a request's body before it answers, and would
// wait there for a handler that is reading from a slow client: so reads end now,
// which closes the connection after this answer.
func (a *answer) tooLate() {
	a.late = true
	rc := http.NewResponseController(a.w)
	if hasBody(a.req) {
		_ = rc.SetReadDeadline(time.Now()) // not every ResponseWriter can
	}
	Answer(a.w, &Error{Policy: a.policy.name, Reason: ReasonTimeout})
	_ = rc.Flush() // where it cannot, the end of the handler shows it
}

// finish is called when the handler has returned.
func (a *answer) finish(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.late {
		return
	}
	if !a.begun && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		a.tooLate() // it gave up without a word, which would be a 200
		return
	}
	maps.Copy(a.w.Header(), a.header) // of an empty answer, or trailers
	a.begun = true
}

// begin makes the handler's answer the one that counts.
func (a *answer) begin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.late {
		return http.ErrHandlerTimeout
	}
	if !a.begun {
		a.begun = true
		a.timer.Stop()
		a.copyHeader()
	}
	return nil
}

func (a *answer) copyHeader() {
	h := a.w.Header()
	clear(h)
	maps.Copy(h, a.header)
}

func (a *answer) Header() http.Header { return a.header }

// WriteHeader passes informational responses on; they do not begin the answer.
func (a *answer) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.late && !a.begun {
			a.copyHeader()
			a.w.WriteHeader(status)
		}
		return
	}
	if a.begin() == nil {
		a.w.WriteHeader(status)
	}
}

func (a *answer) Write(b []byte) (int, error) {
	if err := a.begin(); err != nil {
		return 0, err
	}
	return a.w.Write(b)
}

// ReadFrom keeps sendfile and splice of net/http.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	if err := a.begin(); err != nil {
		return 0, err
	}
	return io.Copy(a.w, r)
}

func (a *answer) Flush() { _ = a.FlushError() }

func (a *answer) FlushError() error {
	if err := a.begin(); err != nil {
		return err
	}
	return http.NewResponseController(a.w).Flush()
}

func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := a.begin(); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(a.w).Hijack()
}

// Unwrap is for http.ResponseController: deadlines and full duplex.
func (a *answer) Unwrap() http.ResponseWriter { return a.w }
