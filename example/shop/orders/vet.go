package orders

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/example/shop/payments"
	"github.com/banyanhq/banyan/resilience"
)

// ServicesOptions of Services.
type ServicesOptions struct {
	// Users and Payments are the base URLs of the services, such as
	// "http://127.0.0.1:8082". One that is empty is not asked.
	Users, Payments string
	// Patience is how long an order waits for one of them, with all attempts.
	// Default: 2 s.
	Patience time.Duration
	// Calls is how many calls to each may be under way. More wait for a place,
	// at most half of the Patience. Default: 256.
	Calls int
	// Breaker opens when a service fails. Default: the zero Breaker.
	Breaker *resilience.Breaker
	// Transport sends the requests. Default: one with connections of its own.
	Transport http.RoundTripper
	// Hooks are told of retries, breakers and calls that were turned away.
	Hooks *resilience.Hooks
}

func (o *ServicesOptions) defaults() {
	if o.Patience == 0 {
		o.Patience = 2 * time.Second
	}
	if o.Calls == 0 {
		o.Calls = 256
	}
	if o.Breaker == nil {
		o.Breaker = &resilience.Breaker{}
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{MaxIdleConnsPerHost: o.Calls, IdleConnTimeout: time.Minute}
	}
}

// Services is the Vetting by the services users and payments, over HTTP. Each has
// a timeout, retries within a budget, a breaker and a bulkhead of its own. What
// they are asked can be repeated: a question about a customer, and an
// authorisation under an id that follows from the order.
//
// A guest is nobody's customer: users is not asked. Users is asked first, so that
// nothing is authorised for a customer who may not order.
type Services struct {
	users, payments *peer // nil: is not asked
}

var _ Vetting = (*Services)(nil)

// NewServices returns a Vetting. There is nothing to close but idle connections.
func NewServices(o *ServicesOptions) (*Services, error) {
	var opts ServicesOptions
	if o != nil {
		opts = *o
	}
	opts.defaults()
	s := &Services{}
	var err error
	if s.users, err = newPeer("users", opts.Users, &opts); err != nil {
		return nil, err
	}
	if s.payments, err = newPeer("payments", opts.Payments, &opts); err != nil {
		return nil, err
	}
	return s, nil
}

// Close closes idle connections.
func (s *Services) Close() {
	for _, p := range []*peer{s.users, s.payments} {
		if p != nil {
			p.http.CloseIdleConnections()
		}
	}
}

// Vet implements Vetting.
func (s *Services) Vet(ctx context.Context, p Placed) (Ruling, error) {
	if s.users != nil && p.Customer != "" {
		if r, err := s.customer(ctx, p.Customer); err != nil || r.By != "" {
			return r, err
		}
	}
	if s.payments == nil {
		return Ruling{}, nil
	}
	return s.pay(ctx, p)
}

func (s *Services) customer(ctx context.Context, customer string) (Ruling, error) {
	// In the query, because not every text can stand in a path.
	query := url.Values{"customer": {RowKey(customer)}}
	var standing struct {
		MayOrder *bool  `json:"may_order"`
		Reason   string `json:"reason"`
	}
	status, err := s.users.call(ctx, http.MethodGet, "/standing?"+query.Encode(), nil, &standing)
	switch {
	case err != nil:
		return Ruling{}, err
	case status != http.StatusOK || standing.MayOrder == nil:
		return Ruling{}, s.users.strange(status)
	case !*standing.MayOrder:
		return s.users.no(standing.Reason), nil
	}
	return Ruling{}, nil
}

func (s *Services) pay(ctx context.Context, p Placed) (Ruling, error) {
	// The content is the id: another order that takes the same number by mistake
	// is another payment.
	body := payments.Request{Order: RowKey(p.Number), Customer: RowKey(p.Customer), Amount: p.Total().String()}
	var said struct {
		Status any    `json:"status"` // a number where it is a problem
		Type   string `json:"type"`
		Detail string `json:"detail"`
	}
	status, err := s.payments.call(ctx, http.MethodPut, "/payments/"+p.Content, body, &said)
	switch {
	case err != nil:
		return Ruling{}, err
	case status == http.StatusPaymentRequired && said.Type == payments.RefusedType:
		return s.payments.no(said.Detail), nil
	case said.Status != string(payments.StatusAuthorised):
		return Ruling{}, s.payments.strange(status)
	}
	return Ruling{}, nil
}

// peer is a service that is asked.
type peer struct {
	name string
	base string
	http *http.Client
}

func newPeer(name, base string, o *ServicesOptions) (*peer, error) {
	if base == "" {
		return nil, nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("orders: the URL of %s: %w: want http://HOST:PORT", name, banyan.ErrInvalid)
	}
	policy, err := resilience.New(name, &resilience.Options{
		Timeout:  o.Patience / 2, // so that one slow answer leaves time for a second try
		Deadline: &resilience.Deadline{Overall: o.Patience},
		Retry:    &resilience.Retry{},
		Budget:   &resilience.Budget{},
		Breaker:  o.Breaker,
		Bulkhead: &resilience.Bulkhead{Max: o.Calls, MaxWait: o.Patience / 2},
		Hooks:    o.Hooks,
	})
	if err != nil {
		return nil, fmt.Errorf("orders: calls of %s: %w", name, err)
	}
	client := &http.Client{
		Transport: policy.Transport(o.Transport),
		// An answer from elsewhere is not this service's.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &peer{name: name, base: strings.TrimSuffix(base, "/"), http: client}, nil
}

// maxAnswer bounds what a service may say.
const maxAnswer = 64 << 10

// call sends a request and reads the answer. That there is none, or one that says
// that the service cannot answer now, is an *UnaskedError.
func (p *peer) call(ctx context.Context, method, path string, body, into any) (int, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return 0, fmt.Errorf("ask %s: %w", p.name, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(text))
	if err != nil {
		return 0, fmt.Errorf("ask %s: %w", p.name, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := p.http.Do(req)
	if err != nil {
		return 0, p.unasked(err)
	}
	defer res.Body.Close() // it was read to its end
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return 0, p.unasked(err)
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout:
		return 0, p.unasked(fmt.Errorf("it answered %s", res.Status))
	}
	if err := json.Unmarshal(answer, into); err != nil && res.StatusCode < 300 {
		return 0, p.unasked(fmt.Errorf("it answered %s with what is no JSON", res.Status))
	}
	return res.StatusCode, nil
}

func (p *peer) unasked(err error) error {
	var address *url.Error // says where, which is no business of the log's readers
	if errors.As(err, &address) {
		err = address.Err
	}
	return &UnaskedError{Service: p.name, Err: err}
}

// no is a clear no. The reason will stand at every line of the order, so it is short.
func (p *peer) no(reason string) Ruling {
	if reason == "" {
		reason = p.name + " says no"
	}
	return Ruling{By: p.name, Reason: fmt.Sprintf("%.300s", reason)}
}

// strange is for an answer that is neither a yes nor a no: somebody has to look.
func (p *peer) strange(status int) error {
	return fmt.Errorf("ask %s: it answered %d %s, which is neither yes nor no: is its URL right?", p.name, status, http.StatusText(status))
}
