package cache_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/internal/long"
)

// says is what the origin says of a page. The model reads these fields, the
// cache the header made of them.
type says struct {
	noStore, private, public, noCache, must, cookie, etag, vary bool
	maxAge, sMaxAge, swr, sie                                   int // -1: not said
	status                                                      int
	tag                                                         string
}

func (s says) write(h http.Header, etag string) {
	var list []string
	for name, on := range map[string]bool{"no-store": s.noStore, "private": s.private, "public": s.public, "no-cache": s.noCache, "must-revalidate": s.must} {
		if on {
			list = append(list, name)
		}
	}
	for name, n := range map[string]int{"max-age": s.maxAge, "s-maxage": s.sMaxAge, "stale-while-revalidate": s.swr, "stale-if-error": s.sie} {
		if n >= 0 {
			list = append(list, name+"="+strconv.Itoa(n))
		}
	}
	if len(list) > 0 {
		h.Set("Cache-Control", strings.Join(list, ", "))
	}
	for name, value := range map[string]string{
		"Set-Cookie": map[bool]string{true: "a=1"}[s.cookie], "ETag": map[bool]string{true: etag}[s.etag],
		"Vary": map[bool]string{true: "Accept-Language"}[s.vary], "Surrogate-Key": s.tag,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
}

// shown is an answer in the model's store.
type shown struct {
	path, who, lang, body string
	auth, vary            bool
	says                  says
	at, retry, soft       time.Time
	tags                  []string
}

// model is RFC 9111 as a list.
type model struct {
	t       *rapid.T
	now     func() time.Time
	stored  []*shown // the newest first
	passing map[string]time.Time
	pages   map[string]*says
	version map[string]int
	down    bool
	calls   int
}

type demand struct{ path, who, lang string }

func (d demand) key() string { return fmt.Sprint(d.path, " ", d.who != "") }

func (m *model) body(d demand) string {
	body := d.path + "#" + strconv.Itoa(m.version[d.path]) + d.who
	if m.pages[d.path].vary {
		body += d.lang
	}
	return body
}

// ServeHTTP is the origin.
func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.calls++
	if m.down {
		w.WriteHeader(503)
		return
	}
	if r.Method == "POST" {
		m.version[r.URL.Path]++
		w.WriteHeader(204)
		return
	}
	d := demand{r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Accept-Language")}
	body, page := m.body(d), m.pages[d.path]
	page.write(w.Header(), strconv.Quote(body))
	if page.etag && r.Header.Get("If-None-Match") == strconv.Quote(body) {
		w.WriteHeader(304)
		return
	}
	w.WriteHeader(page.status)
	_, _ = w.Write([]byte(body))
}

func (m *model) match(d demand) *shown {
	for _, s := range m.stored {
		if s.path == d.path && s.auth == (d.who != "") && (!s.vary || s.lang == d.lang) {
			return s
		}
	}
	return nil
}

func (s *shown) life() time.Duration {
	if s.says.sMaxAge >= 0 {
		return time.Duration(s.says.sMaxAge) * time.Second
	}
	return time.Duration(max(0, s.says.maxAge)) * time.Second
}

func (s *shown) overdue(now time.Time) time.Duration {
	late := now.Sub(s.at) - s.life()
	if !s.soft.IsZero() {
		late = max(late, now.Sub(s.soft), 0)
	}
	return late
}

func (s *shown) mayBeStale(now time.Time, window int) bool {
	return !s.says.must && !s.says.noCache && s.overdue(now) < time.Duration(window)*time.Second
}

func storable(p *says, d demand) bool {
	strict := p.must || p.noCache
	said := p.maxAge >= 0 || p.sMaxAge >= 0
	life := p.maxAge
	if p.sMaxAge >= 0 {
		life = p.sMaxAge
	}
	useful := life > 0 || p.etag || (!strict && (p.swr > 0 || p.sie > 0))
	allowed := d.who == "" || p.public || p.sMaxAge >= 0 || p.must
	return (p.status == 200 || p.status == 404) && !p.noStore && !p.private && !p.cookie && allowed && (said || p.noCache) && useful
}

// expect says what the cache must answer, and does what that does to the store.
func (m *model) expect(d demand, head bool) (code int, body string, status cache.Status) {
	now, s := m.now(), m.match(d)
	until, passing := m.passing[d.key()]
	passing = passing && now.Before(until)
	switch {
	case s != nil && !s.says.noCache && s.overdue(now) < 0:
		return s.says.status, s.body, cache.Hit
	case s != nil && s.mayBeStale(now, s.says.swr):
		if !s.retry.After(now) {
			m.fetch(d, s)
		}
		return s.says.status, s.body, cache.Stale
	case s != nil && s.retry.After(now) && s.mayBeStale(now, s.says.sie):
		return s.says.status, s.body, cache.StaleError
	case passing || head:
		return m.straight(d)
	}
	return m.fetch(d, s)
}

func (m *model) straight(d demand) (int, string, cache.Status) {
	if m.down {
		return 503, "", cache.Pass
	}
	return m.pages[d.path].status, m.body(d), cache.Pass
}

func (m *model) fetch(d demand, s *shown) (int, string, cache.Status) {
	now, page := m.now(), *m.pages[d.path]
	body, failed := m.body(d), m.down || page.status >= 500
	same := s != nil && !m.down && page.etag && s.says.etag && s.body == body
	if failed && !same {
		if s != nil {
			s.retry = now.Add(time.Second)
			if s.mayBeStale(now, s.says.sie) {
				return s.says.status, s.body, cache.StaleError
			}
		}
		m.passing[d.key()] = now.Add(time.Second)
		if m.down {
			return 503, "", cache.Miss
		}
		return page.status, body, cache.Miss
	}
	how, tags := cache.Miss, strings.Fields(page.tag)
	if same {
		how, page.status = cache.Revalidated, s.says.status
		if page.swr < 0 && m.oldControl(page) { // a 304 without Cache-Control leaves the old one
			keep := s.says
			keep.etag, keep.cookie, keep.vary = page.etag, page.cookie, page.vary || s.says.vary
			page = keep
		}
		page.vary = page.vary || s.says.vary
		if len(tags) == 0 {
			tags = s.tags
		}
	}
	m.stored = slices.DeleteFunc(m.stored, func(o *shown) bool {
		return o == s || (storable(&page, d) && o.path == d.path && o.auth == (d.who != "") && (!o.vary || o.lang == d.lang))
	})
	if !storable(&page, d) {
		m.passing[d.key()] = now.Add(10 * time.Second)
		return page.status, body, how
	}
	m.stored = append([]*shown{{path: d.path, who: d.who, lang: d.lang, body: body, auth: d.who != "", vary: page.vary, says: page, at: now, tags: tags}}, m.stored...)
	return page.status, body, how
}

func (m *model) oldControl(p says) bool {
	return !p.noStore && !p.private && !p.public && !p.noCache && !p.must && p.maxAge < 0 && p.sMaxAge < 0 && p.sie < 0
}

func drawSays(t *rapid.T) *says {
	rarely := rapid.SampledFrom([]bool{false, false, false, false, true})
	often := rapid.Bool()
	seconds := rapid.SampledFrom([]int{-1, -1, 0, 3, 10, 30})
	return &says{
		noStore: rarely.Draw(t, "no-store"), private: rarely.Draw(t, "private"), public: often.Draw(t, "public"), noCache: rarely.Draw(t, "no-cache"),
		must: rarely.Draw(t, "must-revalidate"), cookie: rarely.Draw(t, "cookie"), etag: often.Draw(t, "etag"), vary: often.Draw(t, "vary"),
		maxAge: rapid.SampledFrom([]int{-1, 0, 3, 10, 30}).Draw(t, "max-age"), sMaxAge: seconds.Draw(t, "s-maxage"), swr: seconds.Draw(t, "swr"), sie: seconds.Draw(t, "sie"),
		status: rapid.SampledFrom([]int{200, 200, 200, 200, 404, 403, 500}).Draw(t, "status"), tag: rapid.SampledFrom([]string{"", "x", "y", "x y"}).Draw(t, "tag"),
	}
}

// timeless hides the test's deadline from rapid, which in a bubble has none.
type timeless struct{ *testing.T }

// R38: the cache against the model, over random requests, times, changes and
// purges: 100 sequences, or with BANYAN_LONG=100 the 20,000 of the guarantee.
func TestModel(t *testing.T) {
	t.Parallel()
	sequences := 0
	for range long.Size(1, 200) { // bubbles, so that the clock of none runs past rapid's limit of a day
		synctest.Test(t, func(t *testing.T) {
			rapid.Check(timeless{t}, func(rt *rapid.T) {
				sequences++
				runModel(t, rt)
			})
		})
	}
	long.Report(t, "R38", "%d sequences, 0 differences", sequences)
}

func runModel(t *testing.T, rt *rapid.T) {
	m := &model{t: rt, now: time.Now, passing: map[string]time.Time{}, pages: map[string]*says{}, version: map[string]int{}}
	b := &bed{t: t}
	c, err := cache.New(&cache.Options{Trace: &cache.Trace{Served: b.served}})
	if err != nil {
		rt.Fatal(err)
	}
	defer c.Close()
	b.Cache = c
	b.handler = b.route(nil, m)
	paths := rapid.SampledFrom([]string{"/a", "/b"})
	for _, p := range []string{"/a", "/b"} {
		m.pages[p] = drawSays(rt)
	}
	rt.Repeat(map[string]func(*rapid.T){
		"get":   func(rt *rapid.T) { m.compare(rt, b, paths.Draw(rt, "path"), "GET") },
		"again": func(rt *rapid.T) { m.compare(rt, b, paths.Draw(rt, "path"), "GET") },
		"head":  func(rt *rapid.T) { m.compare(rt, b, paths.Draw(rt, "path"), "HEAD") },
		"wait": func(rt *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 12000).Draw(rt, "ms")) * time.Millisecond)
		},
		"change": func(rt *rapid.T) { m.version[paths.Draw(rt, "path")]++ },
		"speak":  func(rt *rapid.T) { m.pages[paths.Draw(rt, "path")] = drawSays(rt) },
		"outage": func(*rapid.T) { m.down = !m.down },
		"post":   func(rt *rapid.T) { m.post(b, paths.Draw(rt, "path")) },
		"purge":  func(rt *rapid.T) { m.purge(rt, c, paths.Draw(rt, "path")) },
	})
}

func (m *model) compare(rt *rapid.T, b *bed, path, method string) {
	d := demand{path, rapid.SampledFrom([]string{"", "", "A", "B"}).Draw(rt, "who"), rapid.SampledFrom([]string{"de", "en"}).Draw(rt, "lang")}
	r := request(method, "http://shop.example"+path, "Accept-Language: "+d.lang)
	if d.who != "" {
		r.Header.Set("Authorization", d.who)
	}
	// The model first looks, then the cache acts: both see the same origin.
	code, body, status := m.expect(d, method == "HEAD")
	age := ""
	if s := m.match(d); s != nil && status == cache.Hit {
		age = strconv.Itoa(int(m.now().Sub(s.at) / time.Second))
	}
	w := b.do(r)
	synctest.Wait()
	if method == "HEAD" {
		body, w.Body = "", nil
	} else if w.Body.String() != body {
		rt.Fatalf("%+v: body %q, want %q (%v)", d, w.Body, body, status)
	}
	if w.Code != code || b.status() != status || (status == cache.Hit && w.Header().Get("Age") != age) {
		rt.Fatalf("%+v: %d %v Age %s, want %d %v %s", d, w.Code, b.status(), w.Header().Get("Age"), code, status, age)
	}
}

func (m *model) post(b *bed, path string) {
	b.do(request("POST", "http://shop.example"+path))
	if m.down {
		return
	}
	m.forget(func(s *shown) bool { return s.path == path })
	m.unpass(path)
}

func (m *model) forget(met func(*shown) bool) {
	m.stored = slices.DeleteFunc(m.stored, met)
}

func (m *model) unpass(path string) {
	for _, who := range []string{"", "A"} {
		delete(m.passing, demand{path: path, who: who}.key())
	}
}

func (m *model) purge(rt *rapid.T, c *cache.Cache, path string) {
	p := cache.Purge{Soft: rapid.Bool().Draw(rt, "soft")}
	tag := rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt, "tag")
	met := func(s *shown) bool { return slices.Contains(s.tags, tag) }
	if p.Tags = []string{tag}; tag == "" {
		p = cache.Purge{Soft: p.Soft, URLs: []string{"http://shop.example" + path}}
		met = func(s *shown) bool { return s.path == path }
		m.unpass(path)
	}
	if _, err := c.Purge(p); err != nil {
		rt.Fatal(err)
	}
	if !p.Soft {
		m.forget(met)
		return
	}
	for _, s := range m.stored {
		if met(s) && s.soft.IsZero() {
			s.soft = m.now()
		}
	}
}
