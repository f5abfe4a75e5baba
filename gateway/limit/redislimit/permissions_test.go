package redislimit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/redislimit"
)

// Another database than 0 takes one command more, as the package says.
func TestLeastPermissionsOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.do("ACL", "SETUSER", "gateway", "on", ">s3cret", "~{shop}:*", "+evalsha", "+eval", "+time", "+get", "+set")
	url, o := "redis://gateway:s3cret@"+server.address()+"/3", &redislimit.Options{Prefix: "shop"}
	if _, err := redislimit.Open(t.Context(), url, o); !errors.Is(err, banyan.ErrDenied) {
		t.Errorf("without select: got %v, want it denied", err)
	}
	server.do("ACL", "SETUSER", "gateway", "+select")
	if !one(t, open(t, url, o), charge("k", 1, 0, time.Hour)).Allowed {
		t.Error("refused")
	}
}

// A server that became a replica lets nothing through: what it cannot write is an
// error, and rules go by their Down.
func TestReplicaLetsNothingThrough(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	store := open(t, server.url(), nil)
	one(t, store, charge("used", time.Hour, 0, time.Hour))
	server.do("REPLICAOF", "127.0.0.1", "1")
	for _, key := range []string{"used", "new"} {
		got, err := store.Take(t.Context(), []limit.Request{request(charge(key, time.Minute, 0, time.Hour))})
		if err == nil && got[0].Allowed || err != nil && !errors.Is(err, banyan.ErrUnavailable) {
			t.Errorf("%s: got %+v, %v", key, got, err)
		}
	}
}
