package cache_test

import (
	"net/http"
	"testing"

	"github.com/banyanhq/banyan/gateway/cache"
)

// Which requests a stored answer is for, by its Vary (RFC 9111 §4.1).
func TestVary(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, vary    string
		first, second []string
		same          bool
	}{
		{"equal", "Accept", []string{"Accept: a"}, []string{"Accept: a"}, true},
		{"different", "Accept", []string{"Accept: a"}, []string{"Accept: b"}, false},
		{"absent in one", "Accept", []string{"Accept: a"}, nil, false},
		{"absent in the other", "Accept", nil, []string{"Accept: a"}, false},
		{"absent in both", "Accept", nil, []string{"X: a"}, true},
		{"empty is not absent", "Accept", []string{"Accept: "}, nil, false},
		{"spaces at commas", "Accept", []string{"Accept: a, b"}, []string{"Accept: a ,b"}, true},
		{"lines", "Accept", []string{"Accept: a, b"}, []string{"Accept: a", "Accept: b"}, true},
		{"order", "Accept", []string{"Accept: a, b"}, []string{"Accept: b, a"}, false},
		{"name in capitals", "ACCEPT", []string{"Accept: a"}, []string{"Accept: b"}, false},
		{"one of two", "Accept, X-Plan", []string{"Accept: a", "X-Plan: 1"}, []string{"Accept: a", "X-Plan: 2"}, false},
		{"others do not matter", "Accept", []string{"Accept: a", "X-Plan: 1"}, []string{"Accept: a", "X-Plan: 2"}, true},
		{"codings in another order", "Accept-Encoding", []string{"Accept-Encoding: gzip, br"}, []string{"Accept-Encoding: br;q=0.5,gzip;q=1"}, true},
		{"x-gzip is gzip", "Accept-Encoding", []string{"Accept-Encoding: gzip"}, []string{"Accept-Encoding: X-GZIP"}, true},
		{"codings refused", "Accept-Encoding", []string{"Accept-Encoding: gzip, br"}, []string{"Accept-Encoding: gzip, br;q=0.000"}, false},
		{"codings unknown", "Accept-Encoding", []string{"Accept-Encoding: gzip"}, []string{"Accept-Encoding: gzip, dcb"}, false},
	}
	for _, test := range tests {
		b := setup(t, nil, nil, answering(200, "Cache-Control: max-age=60", "Vary: "+test.vary))
		b.get(page, test.first...)
		b.get(page, test.second...)
		if same := b.status() == cache.Hit; same != test.same {
			t.Errorf("%s: the second request is a %v, want the same answer: %v", test.name, b.status(), test.same)
		}
		if b.get(page, test.first...); b.status() != cache.Hit {
			t.Errorf("%s: the first answer has gone", test.name)
		}
	}
}

// The number of variants of one key is bounded: the oldest goes.
func TestVariants(t *testing.T) {
	t.Parallel()
	b := setup(t, &cache.Options{Variants: 3}, nil, answering(200, "Cache-Control: max-age=60", "Vary: User-Agent"))
	for _, agent := range []string{"a", "b", "c", "d"} {
		b.get(page, "User-Agent: "+agent)
	}
	b.get(page, "User-Agent: b")
	b.want(b.get(page, "User-Agent: b"), "002", cache.Hit)
	b.want(b.get(page, "User-Agent: a"), "005", cache.Miss)
	if n := b.Stats().Entries; n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}

// An answer may name other headers than the one before it.
func TestVaryChanges(t *testing.T) {
	t.Parallel()
	o := &origin{serve: func(w http.ResponseWriter, r *http.Request, call int) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", map[bool]string{true: "Accept", false: "X-Plan"}[call == 1])
		_, _ = w.Write([]byte(number(call)))
	}}
	b := setup(t, nil, nil, o)
	b.get(page, "Accept: a", "X-Plan: 1")
	b.want(b.get(page, "Accept: b", "X-Plan: 2"), "002", cache.Miss)
	b.want(b.get(page, "Accept: a", "X-Plan: 3"), "001", cache.Hit)
	b.want(b.get(page, "Accept: c", "X-Plan: 2"), "002", cache.Hit)
}
