package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/example/shop/retail"
	"github.com/banyanhq/banyan/projection"
)

// client speaks to the shop over HTTP.
type client struct {
	base string
	http *http.Client
}

// requestTimeout bounds one request; read models may need a moment to catch up.
const requestTimeout = time.Minute

func newClient(addr string, clients int) *client {
	return &client{base: "http://" + addr, http: &http.Client{
		Timeout: requestTimeout,
		// No proxy: the shop is on this machine.
		Transport: &http.Transport{MaxIdleConnsPerHost: clients + 1, MaxConnsPerHost: clients + 1},
	}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// imported is what became of an import.
type imported struct {
	took    []time.Duration // of each invoice that was answered
	refused []retail.Reject // rows that the shop neither took nor recorded
}

// importAll posts all invoices. It ends early when ctx does or when the shop
// cannot be reached.
func (c *client) importAll(ctx context.Context, month *retail.File, clients int, p *progress) (*imported, error) {
	defer p.finish()
	all := &imported{took: make([]time.Duration, len(month.Invoices))}
	var mu sync.Mutex // guards all.refused
	var next, answered atomic.Int64
	group, working := errgroup.WithContext(ctx)
	for range min(clients, len(month.Invoices)) {
		group.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(month.Invoices)) && working.Err() == nil; i = next.Add(1) - 1 {
				took, refused, err := c.post(working, month.Name, month.Invoices[i])
				if err != nil {
					return err
				}
				all.took[i] = took
				mu.Lock()
				all.refused = append(all.refused, refused...)
				mu.Unlock()
				answered.Add(1)
				p.one()
			}
			return nil
		})
	}
	err := group.Wait()
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("import: stopped after %d of %d invoices: %w", answered.Load(), len(month.Invoices), err)
	}
	return all, nil
}

// tries of one post, with pauses that double from the first.
const (
	maxTries   = 8
	firstPause = 50 * time.Millisecond
)

// post sends an invoice until it has an answer: sending it again is safe. It
// returns how long the answered request took, and the rows that the shop did not
// take and keeps no record of.
func (c *client) post(ctx context.Context, source string, inv retail.Invoice) (time.Duration, []retail.Reject, error) {
	body, err := json.Marshal(request(source, inv))
	if err != nil {
		return 0, nil, err
	}
	path := "/orders"
	if orders.KindOf(inv.Number) == orders.AReturn {
		path = "/returns"
	}
	for try := 0; ; try++ {
		start := time.Now()
		// A request that has begun is finished also after Ctrl-C.
		a, err := c.send(context.WithoutCancel(ctx), path, inv.Number, body)
		took := time.Since(start)
		switch {
		case err == nil && (a.status < 300 || a.Type == orders.RejectedType): // it is recorded
			return took, nil, nil
		case err == nil && a.status < 500 && a.status != http.StatusTooManyRequests:
			return took, rejectsOf(source, inv, a.Detail), nil
		case err == nil:
			err = fmt.Errorf("%s: %s", http.StatusText(a.status), a.Detail)
		}
		if try == maxTries-1 {
			return 0, nil, fmt.Errorf("post invoice %q: %w", inv.Number, err)
		}
		if pause(ctx, firstPause<<try) != nil {
			return 0, nil, fmt.Errorf("post invoice %q: %w", inv.Number, err)
		}
	}
}

// answer is a status with the part of a problem that matters.
type answer struct {
	status int
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

func (c *client) send(ctx context.Context, path, number string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if number != "" {
		req.Header.Set("Idempotency-Key", url.PathEscape(number))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close() // it was read to its end
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode}
	if res.StatusCode >= 300 {
		if err := json.Unmarshal(text, &a); err != nil {
			return answer{}, fmt.Errorf("%s: not a problem: %w", res.Status, err)
		}
	}
	return a, nil
}

func request(source string, inv retail.Invoice) orders.Invoice {
	date := inv.RawDate
	if !inv.Date.IsZero() {
		date = inv.Date.Format(time.RFC3339)
	}
	r := orders.Invoice{Number: inv.Number, Date: date, Customer: inv.Customer, Country: inv.Country, Source: source}
	r.Lines = make([]orders.Line, len(inv.Lines))
	for i, l := range inv.Lines {
		r.Lines[i] = orders.Line{Row: l.Row, StockCode: l.StockCode, Description: l.Description, Quantity: l.Quantity, UnitPrice: l.UnitPrice}
	}
	return r
}

func rejectsOf(file string, inv retail.Invoice, reason string) []retail.Reject {
	rejects := make([]retail.Reject, len(inv.Lines))
	for i, l := range inv.Lines {
		rejects[i] = retail.Reject{File: file, Line: l.Row, Invoice: inv.Number, Reason: reason}
	}
	return rejects
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end is where the log of the orders ends.
type end = orders.End

func (c *client) end(ctx context.Context) (end, error) {
	var e end
	err := c.get(ctx, "/log", "", &e)
	return e, err
}

// settledEnd returns where the log ends once no order waits for its validation any
// more: one that does counts nowhere yet.
func (c *client) settledEnd(ctx context.Context) (end, error) {
	giveUp := time.Now().Add(requestTimeout)
	for {
		e, err := c.end(ctx)
		if err != nil {
			return e, err
		}
		var waiting orders.PastOrders
		if err := c.get(ctx, "/orders?limit=1&status="+url.QueryEscape(string(orders.StatusPending)), e.Token, &waiting); err != nil {
			return e, err
		}
		if len(waiting.Items) == 0 {
			// The list may know more than it had to: the last outcome can be after e.
			return c.end(ctx)
		}
		if time.Now().After(giveUp) {
			return e, fmt.Errorf("order %q still waits for its validation", waiting.Items[0].Number)
		}
		if err := pause(ctx, firstPause); err != nil {
			return e, err
		}
	}
}

// get reads from a read model that has seen everything up to the token.
func (c *client) get(ctx context.Context, path, token string, into any) error {
	for try := 0; ; try++ {
		status, err := c.getOnce(ctx, path, token, into)
		// A read model that takes over from a killed process may need longer than
		// one request waits.
		if err == nil || try == maxTries-1 || (status != 0 && status < 500) || ctx.Err() != nil {
			return err
		}
		if err := pause(ctx, firstPause<<try); err != nil {
			return err
		}
	}
}

func (c *client) getOnce(ctx context.Context, path, token string, into any) (status int, _ error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return 0, err
	}
	if token != "" {
		req.Header.Set(projection.TokenHeader, token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() // it was read to its end
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		a := answer{}
		_ = json.Unmarshal(text, &a) // an answer without detail has its status
		return res.StatusCode, fmt.Errorf("get %s: %s: %s", path, res.Status, a.Detail)
	}
	return res.StatusCode, json.Unmarshal(text, into)
}

// pages calls each with every page of a list.
func pages[T any](ctx context.Context, c *client, path, token string, each func(T)) error {
	for after := ""; ; {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		query := url.Values{"limit": {strconv.Itoa(1000)}}
		if after != "" {
			query.Set("after", after)
		}
		if err := c.get(ctx, path+"?"+query.Encode(), token, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			each(item)
		}
		if page.Next == "" {
			return nil
		}
		if page.Next == after {
			return errors.New("get " + path + ": the pages do not end")
		}
		after = page.Next
	}
}

// rejects reads back every rejected row.
func (c *client) rejects(ctx context.Context, e end) ([]retail.Reject, error) {
	var all []retail.Reject
	err := pages(ctx, c, "/rejects", e.Token, func(r orders.Reject) {
		all = append(all, retail.Reject{File: r.Source, Line: r.Row, Invoice: r.Invoice, Reason: r.Reason})
	})
	return all, err
}
