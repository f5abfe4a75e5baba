package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// verified is the outcome of a verification, immutable.
type verified struct {
	id  Identity
	key *key
	set *keySet
	// bound is the thumbprint of the client certificate that the token is bound
	// to (RFC 8705 §3.1). Empty: it is not.
	bound string
}

const (
	shards = 16
	// weightBase is an entry without its claims. TestCacheBound holds all weights
	// against the heap.
	weightBase = 768
)

// weigh estimates the memory of a claim. A map of one takes as much as a map of
// seven, so a few characters of JSON can take hundreds of bytes.
func weigh(v any) int {
	switch v := v.(type) {
	case string:
		return 16 + len(v)
	case []any:
		n := 48 + 16*len(v)
		for _, e := range v {
			n += weigh(e)
		}
		return n
	case map[string]any:
		n := 350 + 64*max(0, len(v)-7)
		for name, e := range v {
			n += len(name) + weigh(e)
		}
		return n
	}
	return 8
}

// cache remembers verified tokens by their SHA-256, so that it holds no token.
// Each shard has two generations: when the young one has grown to half of the
// shard's share, it becomes the old one and the former old one is dropped. A hit
// in the old one moves the entry. So a look-up, an insertion and an eviction each
// cost the same however full it is. Only tokens whose signature was right get in,
// so nobody can fill it with inventions.
type cache struct {
	shards [shards]shard
	half   int // bytes that a generation of a shard may have
}

type shard struct {
	mu         sync.Mutex // guards the rest
	young, old map[[sha256.Size]byte]entry
	weight     int // of young
}

type entry struct {
	*verified
	weight int
}

// newCache returns nil, which remembers nothing, for no bytes.
func newCache(bytes int) *cache {
	if bytes <= 0 {
		return nil
	}
	return &cache{half: bytes / shards / 2}
}

// get returns a verification of a token that has not expired; the leeway is left
// to a full verification. Whether its key is still good the caller must ask.
func (c *cache) get(name [sha256.Size]byte) *verified {
	if c == nil {
		return nil
	}
	s := &c.shards[name[0]%shards]
	s.mu.Lock()
	e, ok := s.young[name]
	if !ok {
		if e, ok = s.old[name]; ok {
			s.add(name, e, c.half)
		}
	}
	s.mu.Unlock()
	if !ok || !time.Now().Before(e.id.Expires) {
		return nil
	}
	return e.verified
}

func (c *cache) put(name [sha256.Size]byte, v *verified) {
	if c == nil {
		return
	}
	e := entry{v, weightBase + weigh(v.id.Claims.m)}
	if e.weight > c.half {
		return
	}
	s := &c.shards[name[0]%shards]
	s.mu.Lock()
	s.add(name, e, c.half)
	s.mu.Unlock()
}

// add puts an entry into the young generation; mu held.
func (s *shard) add(name [sha256.Size]byte, e entry, half int) {
	if s.young == nil || s.weight+e.weight > half {
		s.old, s.young, s.weight = s.young, map[[sha256.Size]byte]entry{}, 0
	}
	if before, ok := s.young[name]; ok {
		s.weight -= before.weight
	}
	s.young[name] = e
	s.weight += e.weight
}
