package compose_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/banyanhq/banyan/gateway/compose"
)

// shop answers for three services. The cart has two lines of one product.
func shop(name string) http.RoundTripper {
	return services{
		"users/users/7":                     `{"id": 7, "name": "Ada", "cart_id": "c9", "password_hash": "…"}`,
		"carts/carts/c9":                    `{"items": [{"product_id": "p1", "unit_price": 1.10}, {"product_id": "p2", "unit_price": 12345678901234567890}, {"product_id": "p1", "unit_price": 1.10}]}`,
		"products/products?ids=p1,p2":       `[{"id": "p2", "title": "Map"}, {"id": "p1", "title": "Pen"}]`,
		"offers/offers?segment=gold&max=10": "status 500\n",
	}.upstream(name)
}

// A screen of a mobile application, in one request: the cart is asked for when the
// user is there, its products with one call, and the offers may fail.
func Example() {
	h, err := compose.New("mobile home", &compose.Config{Parts: map[string]compose.Part{
		"user":    {To: "users", Get: "/users/{path.user}", Select: []string{"name"}},
		"cart":    {To: "carts", Get: "/carts/{user.cart_id}", Rename: map[string]string{"items.unit_price": "price"}},
		"product": {To: "products", ForEach: "cart.items", Get: "/products?ids={item.product_id}", Batch: &compose.Batch{Key: "id"}, Select: []string{"title"}},
		"offers":  {To: "offers", Get: "/offers?segment=gold&max={query.max?10}", Optional: true},
	}}, shop, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /mobile/home/{user}", h)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/mobile/home/7", nil))
	fmt.Println(w.Code, w.Header().Get("Cache-Control"), "missing:", w.Header().Get(compose.Missing))
	fmt.Println(w.Body)
	// Output:
	// 200 no-store missing: offers
	// {"cart":{"items":[{"product_id":"p1","price":1.10,"product":{"title":"Pen"}},{"product_id":"p2","price":12345678901234567890,"product":{"title":"Map"}},{"product_id":"p1","price":1.10,"product":{"title":"Pen"}}]},"offers":null,"user":{"name":"Ada"}}
}

func ExampleConfig_Check() {
	c := compose.Config{Parts: map[string]compose.Part{
		"user": {To: "users", Get: "/users/{path.user}", Optional: true},
		"cart": {To: "carts", Get: "/carts/{usr.cart_id}"},
		"ads":  {To: "ads", Get: "/ads/../{header.Cookie}"},
	}}
	for _, m := range c.Check() {
		fmt.Println(m.Path + ": " + m.Text)
	}
	// Output:
	// parts.ads.get: {header.Cookie} would put a credential into a URL; the service sees the header itself
	// parts.cart.get: there is no part "usr"; did you mean "user"?
}

// An operator hears why a part failed; the client does not.
func ExampleOptions() {
	h, err := compose.New("home", &compose.Config{Parts: map[string]compose.Part{
		"offers": {To: "offers", Get: "/offers?segment=gold&max=10"},
	}}, shop, &compose.Options{Failed: func(_ *http.Request, part string, err error) {
		fmt.Println("log:", part, err)
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/home", nil))
	fmt.Println(w.Body)
	// Output:
	// log: offers the status is 500
	// {"type":"about:blank","title":"Bad Gateway","status":502,"detail":"the part \"offers\" got no valid answer"}
}
