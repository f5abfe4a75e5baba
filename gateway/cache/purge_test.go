package cache_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// tagged gives each path the tags of its query.
func tagged(lines ...string) *origin {
	return &origin{serve: func(w http.ResponseWriter, r *http.Request, call int) {
		gatetest.Add(w.Header(), lines)
		w.Header().Add("Cache-Control", "max-age=600")
		w.Header()["Surrogate-Key"] = []string{r.URL.Query().Get("tags")}
		w.Header()["Cache-Tag"] = []string{"all, every one"}
		_, _ = io.WriteString(w, number(call))
	}}
}

// What each purge meets, of five stored answers.
func TestPurge(t *testing.T) {
	t.Parallel()
	urls := []string{
		"http://shop.example/orders/1?tags=o:1+c:7", "http://shop.example/orders/2?tags=o:2+c:7", "http://shop.example/orders/12?tags=o:12",
		"http://shop.example/prices?tags=p", "https://shop.example/orders/1?tags=x",
	}
	tests := []struct {
		purge cache.Purge
		gone  []int
	}{
		{cache.Purge{Tags: []string{"o:1"}}, []int{0}},
		{cache.Purge{Tags: []string{"c:7"}}, []int{0, 1}},
		{cache.Purge{Tags: []string{"c:7", "o:1", "o:12"}}, []int{0, 1, 2}},
		{cache.Purge{Tags: []string{"every one"}}, []int{0, 1, 2, 3, 4}},
		{cache.Purge{Tags: []string{"o"}}, nil},
		{cache.Purge{URLs: []string{urls[0]}}, []int{0}},
		{cache.Purge{URLs: []string{"http://SHOP.example:80/prices?tags=p"}}, []int{3}},
		{cache.Purge{URLs: []string{"http://shop.example/prices"}}, nil},
		{cache.Purge{Prefixes: []string{"http://shop.example/orders/1"}}, []int{0, 2}},
		{cache.Purge{Prefixes: []string{"https://shop.example"}}, []int{4}},
		{cache.Purge{Prefixes: []string{"http://shop.example/orders/"}, Tags: []string{"p"}}, []int{0, 1, 2, 3}},
		{cache.Purge{All: true}, []int{0, 1, 2, 3, 4}},
	}
	for _, test := range tests {
		for _, soft := range []bool{false, true} {
			b := setup(t, nil, &cache.Rules{StaleWhileRevalidate: time.Hour}, tagged())
			for _, url := range urls {
				b.get(url)
			}
			test.purge.Soft = soft
			if n, err := b.Purge(test.purge); n != len(test.gone) || err != nil {
				t.Errorf("%+v: %d, %v; want %d", test.purge, n, err, len(test.gone))
			}
			var gone []int
			for i, url := range urls {
				want := map[bool]cache.Status{false: cache.Miss, true: cache.Stale}[soft]
				if b.get(url); b.status() == want {
					gone = append(gone, i)
				}
			}
			if diff := cmp.Diff(test.gone, gone); diff != "" {
				t.Errorf("%+v: what is gone (-want +got):\n%s", test.purge, diff)
			}
		}
	}
}

func TestPurgeOfAllPeopleAndVariants(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, &cache.Rules{Principal: func(r *http.Request) string { return r.Header.Get("Authorization") }},
		answering(200, "Cache-Control: max-age=60", "Vary: Accept"))
	for _, who := range []string{"", "A", "B"} {
		for _, accept := range []string{"a", "b"} {
			r := request("GET", page, "Accept: "+accept)
			if who != "" {
				r.Header.Set("Authorization", who)
			}
			b.do(r)
		}
	}
	if n, err := b.Purge(cache.Purge{URLs: []string{page}}); n != 6 || err != nil {
		t.Errorf("purged %d, %v; want 6", n, err)
	}
	if n := b.Stats().Entries; n != 0 {
		t.Errorf("%d entries left", n)
	}
}

func TestPurgeRefusesWhatIsNoURL(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, nil, tagged())
	b.get(page)
	for _, bad := range []string{"", "/a", "ftp://shop.example/a", "http://", "http://shop.example/%zz"} {
		_, err := b.Purge(cache.Purge{URLs: []string{bad}, All: true})
		_, errPrefix := b.Purge(cache.Purge{Prefixes: []string{bad}, All: true})
		if !errors.Is(err, banyan.ErrInvalid) || !errors.Is(errPrefix, banyan.ErrInvalid) {
			t.Errorf("%q: %v, %v", bad, err, errPrefix)
		}
	}
	if b.get(page); b.status() != cache.Hit {
		t.Error("a refused purge did something")
	}
}

// A purge between the call and its answer: the answer is older than the purge.
// It is for those who asked before, and for nobody else.
func TestPurgeWhileFilling(t *testing.T) {
	t.Parallel()
	purges := map[string]cache.Purge{
		"tag": {Tags: []string{"o:1"}}, "URL": {URLs: []string{"http://shop.example/a?tags=o:1"}}, "soft tag": {Tags: []string{"o:1"}, Soft: true},
		"prefix": {Prefixes: []string{"http://shop.example/"}}, "all": {All: true},
		"another tag": {Tags: []string{"o:2"}}, "another URL": {URLs: []string{"http://shop.example/a?tags=o:2"}}, "another prefix": {Prefixes: []string{"http://shop.example/b"}},
	}
	for name, purge := range purges {
		for _, at := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond} { // before and behind the header
			t.Run(fmt.Sprint(name, " at ", at), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { checkPurgeWhileFilling(t, purge, at, name[:2] != "an") })
			})
		}
	}
}

func checkPurgeWhileFilling(t *testing.T, purge cache.Purge, at time.Duration, meets bool) {
	const target = "http://shop.example/a?tags=o:1"
	b := setup(t, nil, nil, slowly(tagged()))
	var all sync.WaitGroup
	get := func(after time.Duration, want string) {
		all.Go(func() {
			time.Sleep(after)
			if got := b.get(target).Body.String(); got != want {
				t.Errorf("who came after %v got %q, want %q", after, got, want)
			}
		})
	}
	get(0, "001")
	get(at-1, "001") // before the purge: may share
	want := map[bool]string{true: "002", false: "001"}[meets]
	get(at+1, want) // after it: may not
	get(at+2, want)
	time.Sleep(at)
	if _, err := b.Purge(purge); err != nil {
		t.Error(err)
	}
	if _, err := b.Purge(cache.Purge{Tags: []string{"something else"}}); err != nil {
		t.Error(err)
	}
	all.Wait()
	b.want(b.get(target), want, cache.Hit)
}

// The same for the answer to a validation.
func TestPurgeWhileValidating(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := stages([]string{"200", "Cache-Control: max-age=10", `ETag: "1"`, "Surrogate-Key: a"}, []string{"304", "Cache-Control: max-age=60"})
		b := setup(t, nil, nil, slowly(o))
		b.get(page)
		time.Sleep(20 * time.Second)
		var all sync.WaitGroup
		all.Go(func() { b.want(b.get(page), "001", cache.Revalidated) })
		time.Sleep(500 * time.Millisecond)
		if n, err := b.Purge(cache.Purge{Tags: []string{"a"}}); n != 1 || err != nil {
			t.Errorf("purged %d, %v", n, err)
		}
		all.Wait()
		b.want(b.get(page), "unconditional 003", cache.Miss)
	})
}

// RFC 9111 §4.4: what successful unsafe methods make old.
func TestInvalidation(t *testing.T) {
	t.Parallel()
	const other = "http://shop.example/b?x=1"
	tests := []struct {
		name   string
		method string
		target string
		status int
		says   []string
		gone   []string
	}{
		{"POST", "POST", page, 200, nil, []string{page}},
		{"303", "POST", page, 303, nil, []string{page}},
		{"DELETE", "DELETE", page, 204, nil, []string{page}},
		{"an unknown method", "MERGE", page, 200, nil, []string{page}},
		{"refused", "POST", page, 409, nil, nil},
		{"failed", "POST", page, 500, nil, nil},
		{"safe", "OPTIONS", page, 200, nil, nil},
		{"another URI", "POST", "http://shop.example/c", 200, nil, nil},
		{"Location", "POST", "http://shop.example/c", 201, []string{"Location: /b?x=1"}, []string{other}},
		{"Content-Location", "PUT", page, 200, []string{"Content-Location: http://SHOP.example:80/b?x=1"}, []string{page, other}},
		{"Location elsewhere", "POST", "http://evil.example/c", 201, []string{"Location: " + other}, nil},
		{"Location in another scheme", "POST", "https://shop.example/c", 201, []string{"Location: " + other}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := &origin{serve: func(w http.ResponseWriter, r *http.Request, call int) {
				w.Header().Set("Cache-Control", "max-age=60")
				if r.Method != "GET" {
					gatetest.Add(w.Header(), test.says)
					w.WriteHeader(test.status)
				}
				_, _ = io.WriteString(w, number(call))
			}}
			b := setup(t, nil, nil, o)
			b.get(page)
			b.get(other)
			if w := b.do(request(test.method, test.target)); w.Code != test.status {
				t.Errorf("code %d", w.Code)
			}
			var gone []string
			for _, target := range []string{page, other} {
				if b.get(target); b.status() != cache.Hit {
					gone = append(gone, target)
				}
			}
			if diff := cmp.Diff(test.gone, gone); diff != "" {
				t.Errorf("what is gone (-want +got):\n%s", diff)
			}
		})
	}
}

// An answer that was under way when an unsafe request succeeded is not stored,
// and the store is clean before the client hears of the success.
func TestInvalidationWhileFilling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var value atomic.Value
		value.Store("old")
		o := &origin{serve: func(w http.ResponseWriter, r *http.Request, _ int) {
			if r.Method == "PUT" {
				value.Store("new")
				_, _ = io.WriteString(w, "done")
				time.Sleep(time.Hour) // the client has the header long before the end
				return
			}
			now := value.Load().(string)
			time.Sleep(time.Second)
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, now)
		}}
		b := setup(t, nil, nil, o)
		var all sync.WaitGroup
		all.Go(func() { b.want(b.get(page), "old", cache.Miss) })
		time.Sleep(500 * time.Millisecond)
		all.Go(func() { b.do(request("PUT", page)) })
		time.Sleep(100 * time.Millisecond)
		if got := b.get(page).Body.String(); got != "new" {
			t.Errorf("after the success: %q", got)
		}
		if got := b.get(page).Body.String(); got != "new" {
			t.Errorf("then: %q", got)
		}
		all.Wait()
	})
}

func TestTagsOfTheRules(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, &cache.Rules{Tags: func(r *http.Request) []string { return []string{"path:" + r.URL.Path} }}, answering(200, "Cache-Control: max-age=60"))
	b.get(page)
	if n, err := b.Purge(cache.Purge{Tags: []string{"path:/a"}}); n != 1 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
}
