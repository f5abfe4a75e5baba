package compose_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway/compose"
)

const cart = `{"id":"c1","lines":[{"p":"a","n":1},{"p":"b","n":2},{"n":3,"p":"a"}],"extra":1}`

// recorded are the calls that services hear.
type recorded struct {
	services
	mu    sync.Mutex
	calls []string // guarded by mu
}

func (r *recorded) upstream(name string) http.RoundTripper {
	next := r.services.upstream(name)
	return tripper(func(in *http.Request) (*http.Response, error) {
		r.mu.Lock()
		r.calls = append(r.calls, name+in.URL.RequestURI())
		r.mu.Unlock()
		return next.RoundTrip(in)
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// askRecorded is ask for the calls of a service, each counted.
func askRecorded(t *testing.T, p parts, s services, want string, calls map[string]int) {
	t.Helper()
	r := &recorded{services: s}
	h, f := build(t, &compose.Config{Parts: p}, r.upstream)
	w := get(h, "/home/u1?limit=3")
	if w.Body.String() != want {
		t.Errorf("%d %s\nwant %s\n%s", w.Code, w.Body, want, f.text())
	}
	got := map[string]int{}
	for _, c := range r.calls {
		if !strings.HasPrefix(c, "carts/") {
			got[c]++
		}
	}
	if diff := cmp.Diff(calls, got); diff != "" {
		t.Errorf("calls: -want +got:\n%s", diff)
	}
}

func TestForEach(t *testing.T) {
	t.Parallel()
	s := services{
		"carts/c": cart, "carts/list": `["a","b","a"]`, "carts/list2": `[{"p":"zz"}]`, "carts/orders": `[{"id":1,"lines":[{"p":"a"},{"p":"b"}]},{"id":2,"lines":null},{"id":3},{"id":4,"lines":[{"p":"b"}]}]`,
		"p/a": `{"id":"a","name":"A","seller":"s1"}`, "p/b": `{"id":"b","name":"B","seller":"s1","price":1.10}`, "p/s1": `"Sam"`,
		"p/?ids=a,b": `{"list":[{"id":"b","name":"B"},{"id":"a","name":"A"},{"id":"z","name":"nobody asked"}]}`,
	}
	both := map[string]int{"p/a": 1, "p/b": 1}
	for name, c := range map[string]struct {
		parts parts
		want  string
		calls map[string]int
	}{
		"each once": {
			parts{"cart": {To: "carts", Get: "/c"}, "product": {To: "p", ForEach: "cart.lines", Get: "/{item.p}", Select: []string{"name"}}},
			`{"cart":{"id":"c1","lines":[{"p":"a","n":1,"product":{"name":"A"}},{"p":"b","n":2,"product":{"name":"B"}},{"n":3,"p":"a","product":{"name":"A"}}],"extra":1}}`, both,
		},
		"instead of a field": {
			parts{"cart": {To: "carts", Get: "/c", Select: []string{"lines"}, Rename: map[string]string{"lines": "items", "lines.n": "count"}}, "product": {To: "p", ForEach: "cart.lines", Get: "/{item.p}", As: "p", Select: []string{"name"}}},
			`{"cart":{"items":[{"count":1,"p":{"name":"A"}},{"count":2,"p":{"name":"B"}},{"count":3,"p":{"name":"A"}}]}}`, both,
		},
		"limited": {
			parts{"cart": {To: "carts", Get: "/c", Select: []string{"lines.n"}, Limit: map[string]int{"lines": 1}}, "product": {To: "p", ForEach: "cart.lines", Get: "/{item.p}", Select: []string{"name"}}},
			`{"cart":{"lines":[{"n":1,"product":{"name":"A"}}]}}`,
			map[string]int{"p/a": 1},
		},
		"in place of values": {
			parts{"cart": {To: "carts", Get: "/list", Limit: map[string]int{".": 2}}, "product": {To: "p", ForEach: "cart", Get: "/{item}", As: ".", Select: []string{"name", "price"}}},
			`{"cart":[{"name":"A"},{"name":"B","price":1.10}]}`, both,
		},
		"lists in lists": {
			parts{"cart": {To: "carts", Get: "/orders"}, "product": {To: "p", ForEach: "cart.lines", Get: "/{item.p}", Select: []string{"name"}}},
			`{"cart":[{"id":1,"lines":[{"p":"a","product":{"name":"A"}},{"p":"b","product":{"name":"B"}}]},{"id":2,"lines":null},{"id":3},{"id":4,"lines":[{"p":"b","product":{"name":"B"}}]}]}`, both,
		},
		"one after the other": {
			parts{
				"cart": {To: "carts", Get: "/c", Select: []string{"lines.n"}}, "product": {To: "p", ForEach: "cart.lines", Get: "/{item.p}", As: "-"},
				"seller": {To: "p", ForEach: "cart.lines", Get: "/{product.seller}"},
			},
			`{"cart":{"lines":[{"n":1,"seller":"Sam"},{"n":2,"seller":"Sam"},{"n":3,"seller":"Sam"}]}}`,
			map[string]int{"p/a": 1, "p/b": 1, "p/s1": 1},
		},
		"no such thing": {
			parts{
				"cart": {To: "carts", Get: "/list2"}, "product": {To: "p", ForEach: "cart", Get: "/{item.p}", Empty: true},
				"seller": {To: "p", ForEach: "cart", Get: "/{product.seller}"},
			},
			`{"cart":[{"p":"zz","product":null,"seller":null}]}`,
			map[string]int{"p/zz": 1},
		},
		"batch": {
			parts{"cart": {To: "carts", Get: "/c", Select: []string{"lines.n"}}, "product": {To: "p", ForEach: "cart.lines", Get: "/?ids={item.p}", Select: []string{"name"}, Batch: &compose.Batch{Key: "id", List: "list"}}},
			`{"cart":{"lines":[{"n":1,"product":{"name":"A"}},{"n":2,"product":{"name":"B"}},{"n":3,"product":{"name":"A"}}]}}`,
			map[string]int{"p/?ids=a,b": 1},
		},
		"no items": {
			parts{"cart": {To: "carts", Get: "/c"}, "product": {To: "p", ForEach: "cart.none", Get: "/{item.p}"}},
			`{"cart":` + cart + `}`,
			map[string]int{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			askRecorded(t, c.parts, s, c.want, c.calls)
		})
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	b := func(b compose.Batch, p compose.Part) parts {
		b.Key, p.To, p.ForEach, p.As, p.Get, p.Batch = "k.id", "p", "list", ".", "/?x={query.limit}&id={item}", &b
		return parts{"list": {To: "carts", Get: "/l"}, "p": p}
	}
	const a12, a3 = `[{"k":{"id":1}},{"k":{"id":"2"}}]`, `[{"k":{"id":3}}]`
	for name, c := range map[string]struct {
		parts parts
		list  string
		s     services
		want  string
		calls map[string]int
	}{
		"several calls": {b(compose.Batch{Max: 2}, compose.Part{}), `["1",2,3,3,1]`, services{"p/?x=3&id=1,2": a12, "p/?x=3&id=3": a3}, `{"list":[{"k":{"id":1}},{"k":{"id":"2"}},{"k":{"id":3}},{"k":{"id":3}},{"k":{"id":1}}]}`, map[string]int{"p/?x=3&id=1,2": 1, "p/?x=3&id=3": 1}},
		"repeated":      {b(compose.Batch{Separator: "&"}, compose.Part{}), `[1,2]`, services{"p/?x=3&id=1&id=2": a12}, `{"list":[{"k":{"id":1}},{"k":{"id":"2"}}]}`, map[string]int{"p/?x=3&id=1&id=2": 1}},
		"other":         {b(compose.Batch{Separator: "|"}, compose.Part{}), `[1,2]`, services{"p/?x=3&id=1%7C2": a12}, `{"list":[{"k":{"id":1}},{"k":{"id":"2"}}]}`, map[string]int{"p/?x=3&id=1%7C2": 1}},
		"one absent":    {b(compose.Batch{}, compose.Part{Empty: true}), `[1,9,null,2]`, services{"p/?x=3&id=1,9,2": a12}, `{"list":[{"k":{"id":1}},null,null,{"k":{"id":"2"}}]}`, map[string]int{"p/?x=3&id=1,9,2": 1}},
		"one failed":    {b(compose.Batch{Max: 2}, compose.Part{Default: "0"}), `[1,2,3]`, services{"p/?x=3&id=1,2": a12}, `{"list":[{"k":{"id":1}},{"k":{"id":"2"}},0]}`, map[string]int{"p/?x=3&id=1,2": 1, "p/?x=3&id=3": 1}},
		"separator":     {b(compose.Batch{}, compose.Part{Optional: true}), `["1,5",3]`, services{"p/?x=3&id=3": a3}, `{"list":[null,{"k":{"id":3}}]}`, map[string]int{"p/?x=3&id=3": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.s["carts/l"] = c.list
			askRecorded(t, c.parts, c.s, c.want, c.calls)
		})
	}
	for reason, text := range map[string]string{
		"not a list": `{"k":1}`, "same key": `[{"k":{"id":1}},{"k":{"id":"1"}}]`, "no key": `[{"k":{"id":null}}]`, "lacks something": a3,
	} {
		refuse(t, b(compose.Batch{}, compose.Part{}), services{"carts/l": "[1]", "p/?x=3&id=1": text}, 502, reason)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	list := "[" + strings.Repeat(`{"id":1},`, 4) + `{"id":2},{"id":3}]`
	s := services{"a/l": list, "a/1": `"` + strings.Repeat("x", 100) + `"`, "a/2": "2", "a/3": "3"}
	p := parts{"l": {To: "a", Get: "/l"}, "p": {To: "a", ForEach: "l", Get: "/{item.id}"}}
	for name, c := range map[string]struct {
		config compose.Config
		want   int
		reason string
	}{
		"just enough":      {compose.Config{MaxCalls: 4, MaxBytes: 570}, 200, ""},
		"calls":            {compose.Config{MaxCalls: 3}, 502, "6 items would need 3 calls, and 2 are left"},
		"what is read":     {compose.Config{MaxBytes: 100}, 502, "all answers together"},
		"what is answered": {compose.Config{MaxBytes: 400}, 502, "all answers together"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.config.Parts = p
			h, f := build(t, &c.config, s.upstream)
			if w := get(h, "/home"); w.Code != c.want || !strings.Contains(f.text(), c.reason) {
				t.Errorf("%d, %d bytes, want %d; %s", w.Code, w.Body.Len(), c.want, f.text())
			}
		})
	}
	for reason, c := range map[string]compose.Config{
		"all answers together": {MaxBytes: 110, Parts: parts{"a": {To: "a", Get: "/1", As: "-"}, "b": {To: "a", Get: "/1", As: "-"}, "c": {To: "a", Get: "/2"}}},
		"more than max_calls":  {MaxCalls: 1, Parts: parts{"a": {To: "a", Get: "/1"}, "b": {To: "a", Get: "/2"}}},
	} {
		h, f := build(t, &c, s.upstream)
		if w := get(h, "/home"); w.Code != 502 || !strings.Contains(f.text(), reason) {
			t.Errorf("%s: %d %s", reason, w.Code, f.text())
		}
	}
	many := "[" + strings.Repeat("1,", 10_000) + "1]"
	refuse(t, parts{"l": {To: "a", Get: "/l"}, "p": {To: "a", ForEach: "l", Get: "/{item}", As: "."}}, services{"a/l": many, "a/1": "1"}, 502, "more than 10000 items")
	small := parts{"l": {To: "a", Get: "/l", MaxBytes: int64(len(list))}}
	ask(t, small, s, `{"l":`+list+`}`)
	refuse(t, parts{"l": {To: "a", Get: "/l", MaxBytes: int64(len(list)) - 1}}, s, 502, "larger than max_bytes")
}
