package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/banyanhq/banyan/gateway/browser"
)

// A page of the shop may use the API with its cookies; one of another site may not
// even be asked for.
func Example() {
	p, err := browser.New(&browser.Config{
		CORS:      &browser.CORS{Origins: []string{"https://*.shop.example"}, Methods: []string{"GET", "PUT"}, Credentials: true},
		Security:  &browser.Security{},
		CrossSite: &browser.CrossSite{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "done") }))
	for _, origin := range []string{"https://www.shop.example", "https://evil.example"} {
		r := httptest.NewRequest(http.MethodPut, "http://api.shop.example/orders/17", http.NoBody)
		r.Header.Set("Cookie", "session=1")
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%d %q %q\n", w.Code, w.Header().Get("Access-Control-Allow-Origin"), w.Header().Get("X-Content-Type-Options"))
	}
	// Output:
	// 200 "https://www.shop.example" "nosniff"
	// 403 "" "nosniff"
}

// The CDN keeps pages for an hour and can drop them by key; browsers ask again
// after a minute, and do not see the keys.
func ExampleCDN() {
	p, err := browser.New(&browser.Config{CDN: &browser.CDN{
		Networks: []string{"192.0.2.0/24"}, CacheControl: "max-age=60", CDNCacheControl: "max-age=3600", Keys: []string{"shop"},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "page") }))
	for _, peer := range []string{"192.0.2.1:1234", "198.51.100.1:1234"} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = peer
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%q %q %q\n", w.Header().Get("Cache-Control"), w.Header().Get("CDN-Cache-Control"), w.Header().Get("Surrogate-Key"))
	}
	// Output:
	// "max-age=60" "max-age=3600" "shop"
	// "max-age=60" "" ""
}
