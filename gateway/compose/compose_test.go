package compose_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway/compose"
	"github.com/banyanhq/banyan/internal/gatetest"
)

type parts = map[string]compose.Part

func TestPartsAndDependencies(t *testing.T) {
	t.Parallel()
	ask(t, parts{
		"user":   {To: "users", Get: "/users/{path.user}"},
		"cart":   {To: "carts", Get: "/carts/{user.cart.id}"},
		"offers": {To: "offers", Get: "/offers?s={user.segment}&limit={query.limit}"},
		"hidden": {To: "users", Get: "/users/{path.user}", As: "-"},
		"again":  {To: "carts", Get: "/carts/{hidden.cart.id}", As: "zz"},
	}, services{
		"users/users/u1":                          `{"segment":"gold & co","cart":{"id":12345678901234567890}}`,
		"carts/carts/12345678901234567890":        "{ \"n\" : 1.10,\n\"e\":1e400 }",
		"offers/offers?s=gold%20%26%20co&limit=3": `[1,-0,0.0]`,
	}, `{"zz":{"n":1.10,"e":1e400},"cart":{"n":1.10,"e":1e400},"offers":[1,-0,0.0],"user":{"segment":"gold & co","cart":{"id":12345678901234567890}}}`)
}

func TestSelection(t *testing.T) {
	t.Parallel()
	const body = `{"secret":"x","id":7,"address":{"zip":1,"city":"B\u00e9","geo":{"lat":1.50}},"items":[{"sku":"a","unit_price":1.10,"price":9},{"unit_price":2.00},null,5],"n":null}`
	for name, c := range map[string]struct {
		part compose.Part
		want string
	}{
		"all":             {compose.Part{}, body},
		"some":            {compose.Part{Select: []string{"address.city", "id"}}, `{"id":7,"address":{"city":"B\u00e9"}}`},
		"through lists":   {compose.Part{Select: []string{"items.sku"}}, `{"items":[{"sku":"a"},{},null,null]}`},
		"not an object":   {compose.Part{Select: []string{"secret.x", "n.x", "none"}}, `{"secret":null,"n":null}`},
		"rename":          {compose.Part{Select: []string{"items"}, Rename: map[string]string{"items": "lines", "items.unit_price": "price"}}, `{"lines":[{"sku":"a","price":1.10},{"price":2.00},null,5]}`},
		"swap":            {compose.Part{Select: []string{"id", "n"}, Rename: map[string]string{"id": "n", "n": "id"}}, `{"n":7,"id":null}`},
		"rename and keep": {compose.Part{Select: []string{"address"}, Rename: map[string]string{"address.geo.lat": "north"}}, `{"address":{"zip":1,"city":"B\u00e9","geo":{"north":1.50}}}`},
		"limit":           {compose.Part{Select: []string{"items.sku"}, Limit: map[string]int{"items": 2}}, `{"items":[{"sku":"a"},{}]}`},
		"whole already":   {compose.Part{Select: []string{"address", "address.geo.x"}}, `{"address":{"zip":1,"city":"B\u00e9","geo":{"lat":1.50}}}`},
		"part of a whole": {compose.Part{Select: []string{"address.geo.none", "address", "address.geo.x"}}, `{"address":{"zip":1,"city":"B\u00e9","geo":{"lat":1.50}}}`},
		"whole and part":  {compose.Part{Select: []string{"address", "address.city"}}, `{"address":{"zip":1,"city":"B\u00e9","geo":{"lat":1.50}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.part.To, c.part.Get = "a", "/"
			ask(t, parts{"p": c.part}, services{"a/": body}, `{"p":`+c.want+`}`)
		})
	}
	ask(t, parts{"p": {To: "a", Get: "/", Rename: map[string]string{"f3": "x"}}}, services{"a/": "{" + manyFields() + "}"}, `{"p":{`+strings.Replace(manyFields(), "f3\"", "x\"", 1)+`}}`)
	ask(t, parts{"p": {To: "a", Get: "/", Limit: map[string]int{".": 2}, Select: []string{"x"}}}, services{"a/": `[{"x":1,"y":2},[{"y":3},{"x":4},{"x":5}],6]`}, `{"p":[{"x":1},[{},{"x":4},{"x":5}]]}`)
}

func TestMergeIntoTheAnswer(t *testing.T) {
	t.Parallel()
	p := parts{
		"a": {To: "a", Get: "/a", As: "."},
		"b": {To: "a", Get: "/b"},
	}
	merged := p["a"]
	merged.Select, merged.Rename = []string{"x", "y.z"}, map[string]string{"x": "w"}
	p["a"] = merged
	s := services{"a/a": `{"b":"would replace a part","y":{"z":1,"q":2},"x":3}`, "a/b": "2"}
	ask(t, p, s, `{"y":{"z":1},"w":3,"b":2}`)
	ask(t, p, services{"a/a": "[1]", "a/b": "2"}, `{"w":null,"y":null,"b":2}`)
	merged.Optional = true
	p["a"] = merged
	ask(t, p, services{"a/b": "2"}, `{"w":null,"y":null,"b":2}`)
	merged.Default = `{"w":1.0}`
	p["a"] = merged
	ask(t, p, services{"a/b": "2"}, `{"w":1.0,"b":2}`)
}

func TestWhatIsMissing(t *testing.T) {
	t.Parallel()
	fine := services{"a/u": `{"id":1}`, "a/c/1": `{"id":2}`, "a/l": `{"items":[{"id":1},{"id":2}]}`, "a/p/2": `"two"`}
	for name, c := range map[string]struct {
		parts         parts
		want, missing string
	}{
		"optional":             {parts{"c": {To: "a", Get: "/none", Optional: true}, "u": {To: "a", Get: "/u"}}, `{"c":null,"u":{"id":1}}`, "c"},
		"default":              {parts{"c": {To: "a", Get: "/none", Default: ` [ 1.10 ] `}}, `{"c":[1.10]}`, "c"},
		"dependent":            {parts{"u": {To: "a", Get: "/none", Default: `{"id":1}`}, "c": {To: "a", Get: "/c/{u.id}", Optional: true}}, `{"c":null,"u":{"id":1}}`, "c, u"},
		"dependent by default": {parts{"u": {To: "a", Get: "/none", Optional: true}, "c": {To: "a", Get: "/c/{u.id}", Default: "0"}}, `{"c":0,"u":null}`, "c, u"},
		"dependent without":    {parts{"u": {To: "a", Get: "/none", Optional: true}, "c": {To: "a", Get: "/c/{u.id?1}"}}, `{"c":{"id":2},"u":null}`, "u"},
		"left out":             {parts{"c": {To: "a", Get: "/u?x={u.none?}"}, "u": {To: "a", Get: "/u"}}, `{"c":{"id":1},"u":{"id":1}}`, "-"},
		"empty":                {parts{"u": {To: "a", Get: "/none", Empty: true}, "c": {To: "a", Get: "/c/{u.id}"}}, `{"c":null,"u":null}`, "-"},
		"empty value":          {parts{"u": {To: "a", Get: "/u"}, "c": {To: "a", Get: "/c/{u.cart}", Empty: true}}, `{"c":null,"u":{"id":1}}`, "-"},
		"no value":             {parts{"c": {To: "a", Get: "/c/{query.none}", Optional: true}}, `{"c":null}`, "c"},
		"one item":             {parts{"l": {To: "a", Get: "/l"}, "p": {To: "a", Get: "/p/{item.id}", ForEach: "l.items", Optional: true}}, `{"l":{"items":[{"id":1,"p":null},{"id":2,"p":"two"}]}}`, "p"},
		"one item by default":  {parts{"l": {To: "a", Get: "/l"}, "p": {To: "a", Get: "/p/{item.id}", ForEach: "l.items", Default: "{}"}}, `{"l":{"items":[{"id":1,"p":{}},{"id":2,"p":"two"}]}}`, "p"},
		"one item is empty":    {parts{"l": {To: "a", Get: "/l"}, "p": {To: "a", Get: "/p/{item.id}", ForEach: "l.items", Empty: true}}, `{"l":{"items":[{"id":1,"p":null},{"id":2,"p":"two"}]}}`, "-"},
		"the list":             {parts{"l": {To: "a", Get: "/none", Optional: true}, "p": {To: "a", Get: "/p/{item.id}", ForEach: "l.items", Optional: true}}, `{"l":null}`, "l, p"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := services{}
			for k, v := range fine {
				s[k] = "Cache-Control: public, max-age=60\n\n" + v
			}
			s["a/u?x="] = "status 500"
			s["a/none"] = "Cache-Control: public, max-age=60\n\nstatus 404"
			s["a/p/1"] = s["a/none"]
			h, _ := build(t, &compose.Config{Parts: c.parts}, s.upstream)
			w := get(h, "/home/u1")
			if w.Body.String() != c.want || w.Code != 200 {
				t.Errorf("%d %s, want %s", w.Code, w.Body, c.want)
			}
			if got := w.Header().Get(compose.Missing); got != strings.Trim(c.missing, "-") {
				t.Errorf("missing are %q, want %q", got, c.missing)
			}
			want := "public, max-age=60"
			if c.missing != "-" {
				want = "no-store"
			}
			if cc := w.Header().Get("Cache-Control"); cc != want {
				t.Errorf("Cache-Control %q", cc)
			}
		})
	}
}

// manyFields are some that differ.
func manyFields() string {
	var out []string
	for i := range 40 {
		out = append(out, fmt.Sprintf(`"f%d":%d`, i, i))
	}
	return strings.Join(out, ",")
}

func TestRequiredPartFails(t *testing.T) {
	t.Parallel()
	one := func(get string) parts { return parts{"p": {To: "a", Get: get}} }
	for name, c := range map[string]struct {
		parts  parts
		answer string
		want   int
		reason string
	}{
		"500":              {one("/x"), "status 500\nstack", 502, "status is 500"},
		"redirect":         {one("/x"), "Location: http://evil/\n\nstatus 302", 502, "status is 302"},
		"partial":          {one("/x"), "status 206\n{}", 502, "206"},
		"400":              {one("/x"), "status 400", 502, "status is 400"},
		"401":              {one("/x"), "Www-Authenticate: Bearer realm=\"x\"\n\nstatus 401", 401, "401"},
		"403":              {one("/x"), "status 403", 403, "403"},
		"404":              {one("/x"), "status 404", 404, "404"},
		"410":              {one("/x"), "status 410", 410, "410"},
		"429":              {one("/x"), "Retry-After: 7\n\nstatus 429", 503, "429"},
		"503":              {one("/x"), "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\n\nstatus 503", 503, "503"},
		"504":              {one("/x"), "status 504", 504, "504"},
		"no JSON":          {one("/x"), "<html>", 502, "not JSON"},
		"nothing":          {one("/x"), "", 502, "not JSON"},
		"two":              {one("/x"), "{}{}", 502, "not JSON"},
		"NaN":              {one("/x"), `[NaN]`, 502, "not JSON"},
		"latin1":           {one("/x"), "\"\xe9\"", 502, "UTF-8"},
		"twice":            {one("/x"), `[{"a":{"id":1,"b":2,"\u0069d":3}}]`, 502, "field twice"},
		"twice among many": {one("/x"), `{"a":1,` + manyFields() + `,"a":2}`, 502, "field twice"},
		"deep":             {one("/x"), strings.Repeat("[", 101) + strings.Repeat("]", 101), 502, "nested"},
		"large":            {one("/x"), `"` + strings.Repeat("x", 1<<20) + `"`, 502, "larger"},
		"compressed":       {one("/x"), "Content-Encoding: gzip\n\n{}", 502, "compressed"},
		"no value":         {one("/{query.none}"), "", 400, "no value for {query.none}"},
		"empty value":      {one("/x?a={query.empty}"), "", 400, "no value"},
		"two values":       {one("/x?a={query.two}"), "", 400, "more than one"},
		"dots":             {one("/x/{query.dots}"), "", 400, ". or .."},
		"long":             {one("/x/{query.long}"), "", 400, "too long"},
		"absent field":     {parts{"p": {To: "a", Get: "/x"}, "q": {To: "a", Get: "/{p.none}"}}, `{"a":1}`, 502, "{p.none} is absent"},
		"null field":       {parts{"p": {To: "a", Get: "/x"}, "q": {To: "a", Get: "/{p.n}"}}, `{"n":null}`, 502, "{p.n} is absent"},
		"list field":       {parts{"p": {To: "a", Get: "/x"}, "q": {To: "a", Get: "/{p.n}"}}, `{"n":[1]}`, 502, "a list"},
		"404 of services":  {parts{"p": {To: "a", Get: "/x"}, "q": {To: "a", Get: "/{p.n}"}}, `{"n":"none"}`, 502, "404"},
		"no list":          {parts{"p": {To: "a", Get: "/x"}, "q": {To: "a", ForEach: "p.n", Get: "/{item.n}"}}, `{"n":"none"}`, 502, "not a list"},
		"no objects":       {parts{"p": {To: "a", Get: "/x"}, "q": {To: "a", ForEach: "p.n", Get: "/{item}"}}, `{"n":["none"]}`, 502, "not an object"},
		"dots of a part":   {parts{"p": {To: "a", Get: "/x"}, "q": {To: "a", Get: "/{p.n}"}}, `{"n":"a\\..\\b"}`, 502, ". or .."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, f := build(t, &compose.Config{Parts: c.parts}, services{"a/x": c.answer}.upstream)
			w := get(h, "/home/u1?empty=&two=1&two=2&dots=%2e%2e&long="+strings.Repeat("x", 8000))
			if w.Code != c.want || !strings.Contains(f.text(), c.reason) {
				t.Errorf("%d %s, want %d; reason: %s", w.Code, w.Body, c.want, f.text())
			}
			if got := w.Header().Get("Cache-Control") + w.Header().Get("Content-Type"); got != "no-storeapplication/problem+json" {
				t.Error(got)
			}
			if strings.Contains(w.Body.String(), "stack") || w.Header().Get("Location") != "" {
				t.Error("something of the service is shown")
			}
			if after := w.Header().Get("Retry-After"); (after != "") != (c.want == 503) || name == "429" && after != "7" || name == "503" && after != "1" {
				t.Errorf("Retry-After %q", after)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (c.want == 401) {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	h, _ := build(t, &compose.Config{Parts: parts{"a": {To: "a", Get: "/"}, "b": {To: "a", Get: "/none", Empty: true}}}, services{"a/": "1"}.upstream)
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "OPTIONS": 405, "DELETE": 405} {
		w := gatetest.Ask(h, method, "/home")
		if w.Code != want || (want == 405) != (w.Header().Get("Allow") == "GET, HEAD") {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
		if want == 200 && (w.Header().Get("Content-Length") != "16" || w.Header().Get("Content-Type") != "application/json") {
			t.Errorf("%s: %v", method, w.Header())
		}
		if (w.Body.Len() == 0) != (method == http.MethodHead) {
			t.Errorf("%s: %q", method, w.Body)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 2)
	up := func(string) http.RoundTripper {
		return inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				t.Errorf("method %s", r.Method)
			}
			seen <- r.Header.Clone()
			r.Header.Set("Authorization", "changed") // a transport may do so
			r.Header["X-A"][0] = "changed"
			w.Header().Set("Set-Cookie", "a=b")
			w.Header().Set("X-Internal", "1")
			answer(w, "{}")
		})}
	}
	h, _ := build(t, &compose.Config{Parallel: 1, Parts: parts{"a": {To: "a", Get: "/"}, "b": {To: "a", Get: "/{a.x?1}", Headers: []string{"x-a"}}}}, up)
	dropped := []string{
		"Range: bytes=0-1", `If-None-Match: "x"`, "If-Modified-Since: x", "Accept-Encoding: gzip", "Content-Type: text/x", "Content-Length: 0", "Expect: 100-continue",
		"Te: trailers", "Trailer: x", "Upgrade: websocket", "Connection: upgrade, x-hop", "X-Hop: 1", "Transfer-Encoding: chunked", "Keep-Alive: 1", "Accept: text/html",
	}
	w := get(h, "/home/u1", append(dropped, "Authorization: Bearer x", "X-A: 1", "Accept-Language: de")...)
	if w.Code != 200 || w.Header().Get("Set-Cookie")+w.Header().Get("X-Internal") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, want := range []string{"Accept Accept-Language Authorization X-A", "Accept X-A"} {
		got := <-seen
		if names := strings.Join(sortedNames(got), " "); names != want || got.Get("Accept") != "application/json" || got.Get("X-A") != "1" {
			t.Errorf("a service sees %v, want %s", got, want)
		}
	}
}
