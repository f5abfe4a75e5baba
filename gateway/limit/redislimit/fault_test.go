package redislimit_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/redislimit"
)

// Where a URL is wrong any part of it may be the password.
func TestOpenKeepsSecrets(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "localhost:6379", "://s3cret@h", "http://u:s3cret@h", "s3cret://h", "redis:s3cret",
		"redis://u:s3cret@h:port", "redis://u:1/s3cret@h", "redis://u:1#s3cret@h", "redis://u:1?s3cret@h",
		"redis://u:%zz-s3cret@h", "redis://h/s3cret", "redis://h/0/s3cret", "redis://h?password=s3cret",
		"redis://u:s3 cret@h\n", "redis://h?dial_timeout=s3cret", "redis://h?db=s3cret",
	} {
		for _, cluster := range []bool{false, true} {
			if cluster && (strings.HasPrefix(url, "redis://h/") || strings.HasPrefix(url, "redis://u:1/") || strings.Contains(url, "db=")) {
				continue // a cluster has no databases
			}
			s, err := redislimit.Open(t.Context(), url, &redislimit.Options{Cluster: cluster})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, banyan.ErrInvalid) || strings.Contains(err.Error(), "cret") {
				t.Errorf("%q, cluster %t: got %v, want it invalid, without a part of the URL", url, cluster, err)
			}
		}
	}
}

func TestOpenRefusesOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []*redislimit.Options{
		{Prefix: "a{b"}, {Prefix: "a}"}, {Prefix: "a b"}, {Prefix: "é"}, {Prefix: strings.Repeat("x", 129)}, {TLS: &tls.Config{}},
	} {
		if _, err := redislimit.Open(t.Context(), "redis://127.0.0.1:1", o); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%+v: got %v, want it invalid", o, err)
		}
	}
}

// What a server says of itself comes with the kind that callers act on.
func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	server := startServer(t, "--requirepass", "s3cret")
	with := func(user string) string { return "redis://" + user + server.address() }
	for _, url := range []string{with(""), with(":wr0ng@"), with("nobody:wr0ng@")} {
		_, err := redislimit.Open(t.Context(), url, nil)
		if !errors.Is(err, banyan.ErrDenied) || strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("%s: got %v, want it denied", url, err)
		}
	}
	store := open(t, with(":s3cret@"), nil)
	admin := open(t, with(":s3cret@"), &redislimit.Options{Prefix: "admin"})
	raw := server.rawWith("s3cret")
	take := func() error {
		_, err := store.Take(t.Context(), []limit.Request{request(charge("k", 1, 0, time.Hour))})
		return err
	}
	for _, c := range []struct {
		name      string
		begin, to []any
		want      error
	}{
		{"a user that may not write", []any{"ACL", "SETUSER", "default", "-set"}, []any{"ACL", "SETUSER", "default", "+set"}, banyan.ErrDenied},
		{"other keys only", []any{"ACL", "SETUSER", "default", "resetkeys", "~{admin}:*"}, []any{"ACL", "SETUSER", "default", "~*"}, banyan.ErrDenied},
		{"a replica", []any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}, banyan.ErrUnavailable},
		{"no memory", []any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}, banyan.ErrUnavailable},
		{"too few replicas", []any{"CONFIG", "SET", "min-replicas-to-write", "1"}, []any{"CONFIG", "SET", "min-replicas-to-write", "0"}, banyan.ErrUnavailable},
	} {
		if err := raw.Do(t.Context(), c.begin...).Err(); err != nil {
			t.Fatal(err)
		}
		if err := take(); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if err := raw.Do(t.Context(), c.to...).Err(); err != nil {
			t.Fatal(err)
		}
		if err := take(); err != nil {
			t.Errorf("after %s: %v", c.name, err)
		}
	}
	one(t, admin, charge("k", 1, 0, time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Take(ctx, []limit.Request{request(charge("k", 1, 0, time.Hour))}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if _, err := redislimit.Open(t.Context(), "redis://:s3cret@127.0.0.1:1", nil); !errors.Is(err, banyan.ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("no server: got %v, want it unavailable", err)
	}
	if err := admin.Close(); err != nil {
		t.Error(err)
	}
	if _, err := admin.Take(t.Context(), []limit.Request{request(charge("k", 1, 0, time.Hour))}); !errors.Is(err, banyan.ErrClosed) {
		t.Errorf("after Close: got %v, want it closed", err)
	}
}

// A server that hangs: a call ends with its context, and the next ones work when
// the server does.
func TestTakeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	store := open(t, server.url(), nil)
	server.do("CLIENT", "PAUSE", "600", "ALL")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := store.Take(ctx, []limit.Request{request(charge("k", 1, 0, time.Hour))})
	if took := time.Since(began); !(banyan.Stopped(err) || errors.Is(err, banyan.ErrUnavailable)) || took > 400*time.Millisecond {
		t.Errorf("got %v after %s, want an end after 50 ms", err, took)
	}
	if !one(t, store, charge("k", 1, 0, time.Hour)).Allowed {
		t.Error("refused afterwards")
	}
}
