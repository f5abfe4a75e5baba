package redislimit

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
)

// Options of a Store.
type Options struct {
	// Prefix is what the keys begin with, in braces. Processes that share limits
	// have the same. 1 to 128 printable ASCII characters without blanks and
	// braces. Default: "banyan:limit".
	Prefix string
	// Cluster says that the URL names a node of a Redis Cluster. Further ones may
	// be given as parameters of the URL, addr=host:port. Default: false.
	Cluster bool
	// TLS replaces the configuration that a URL rediss:// stands for (TLS 1.2 or
	// later, the authorities of the system), for private authorities and client
	// certificates. It needs such a URL. Default: nil.
	TLS *tls.Config
}

const (
	defaultPrefix = "banyan:limit"
	// MostCapacity is the most that a bucket may hold, and cost: the script computes
	// with 53 bits. Rules of package limit stay below it.
	MostCapacity = 104 * 24 * time.Hour
)

func (o *Options) defaults() {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
}

func (o *Options) check() error {
	bad := func(c rune) bool { return c <= ' ' || c > '~' || c == '{' || c == '}' }
	if len(o.Prefix) > 128 || strings.ContainsFunc(o.Prefix, bad) {
		return fmt.Errorf("prefix %q: want 1 to 128 printable ASCII characters without blanks and braces", o.Prefix)
	}
	return nil
}

// Store keeps buckets in Redis or Valkey. Make one with Open.
type Store struct {
	client redis.UniversalClient
	prefix string // of keys
	script *redis.Script
}

var _ limit.Store = (*Store)(nil)

//go:embed take.lua
var script string

// Open connects to the server of a URL redis://user:password@host:port/database,
// rediss:// for TLS, or unix://user:password@/path?db=database, and finds out
// whether it may be used. The timeouts are parameters of the URL, such as
// dial_timeout=500ms. Close the cluster, then the result.
func Open(ctx context.Context, url string, o *Options) (*Store, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.defaults()
	err := opts.check()
	var client redis.UniversalClient
	if err == nil {
		client, err = connect(url, &opts)
	}
	if err != nil {
		return nil, fmt.Errorf("redislimit: open: %w: %w", banyan.ErrInvalid, err)
	}
	s := &Store{client: client, prefix: "{" + opts.Prefix + "}:", script: redis.NewScript(script)}
	// The first request should not wait for a connection and for the script to be
	// loaded. This charges nothing.
	if _, err := s.take(ctx, []limit.Request{{Charges: []limit.Charge{{Key: "open"}}}}); err != nil {
		_ = client.Close() // nothing is in use
		return nil, fmt.Errorf("redislimit: open: %w", err)
	}
	return s, nil
}

// Close closes the connections. Calls under way fail. Closing twice does nothing.
func (s *Store) Close() error {
	if err := s.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("redislimit: close: %w", classify(err))
	}
	return nil
}

// Take implements limit.Store.
func (s *Store) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	results, err := s.take(ctx, requests)
	if err != nil {
		return nil, fmt.Errorf("redislimit: take: %w", err)
	}
	return results, nil
}

func (s *Store) take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	keys, args, err := s.arguments(requests)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return results(requests, make([]int64, len(args)), true)
	}
	numbers, err := s.script.Run(ctx, s.client, keys, args...).Int64Slice()
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, classify(err)
	}
	return results(requests, numbers, false)
}

// arguments returns KEYS and ARGV of the script.
func (s *Store) arguments(requests []limit.Request) (keys []string, args []any, err error) {
	places := map[string]int{}
	for _, r := range requests {
		args = append(args, len(r.Charges))
		for _, c := range r.Charges {
			if c.Cost < 0 || c.Extra < 0 || c.Cost > c.Capacity || c.Capacity > MostCapacity {
				return nil, nil, fmt.Errorf("%w: cost %s, extra %s, capacity %s: want none below 0, cost <= capacity <= %s",
					banyan.ErrInvalid, c.Cost, c.Extra, c.Capacity, MostCapacity)
			}
			if places[c.Key] == 0 {
				keys = append(keys, s.prefix+c.Key)
				places[c.Key] = len(keys)
			}
			extra := min(c.Extra, c.Capacity)
			args = append(args, places[c.Key], int64(c.Cost), int64(extra), int64(c.Capacity))
		}
	}
	return keys, args, nil
}

// results reads what the script returned.
func results(requests []limit.Request, numbers []int64, free bool) ([]limit.Result, error) {
	all := make([]limit.Result, len(requests))
	for i, r := range requests {
		n := len(r.Charges)
		if len(numbers) < 1+2*n {
			return nil, fmt.Errorf("the script returned too little for request %d of %d", i+1, len(requests))
		}
		all[i] = limit.Result{Allowed: free || numbers[0] == 1, Levels: make([]limit.Level, n)}
		for j := range n {
			all[i].Levels[j] = limit.Level{Debt: time.Duration(numbers[1+2*j]), Extra: time.Duration(numbers[2+2*j])}
		}
		numbers = numbers[1+2*n:]
	}
	return all, nil
}
