package compose_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway/compose"
)

// BenchmarkHome is three parts and a batch of 50 items, without a network.
func BenchmarkHome(b *testing.B) {
	var items, products, ids []string
	for _, c := range strings.Split(strings.Repeat("x", 50), "") {
		id := c + strings.Repeat("y", len(ids))
		ids = append(ids, id)
		items = append(items, `{"id":"`+id+`","n":1,"unit_price":1.10}`)
		products = append(products, `{"id":"`+id+`","title":"A product","text":"`+strings.Repeat("t", 200)+`"}`)
	}
	s := services{"a/u": `{"cart":"c","name":"Ada"}`, "a/c/c": `{"items":[` + strings.Join(items, ",") + `]}`, "a/p?ids=" + strings.Join(ids, ","): "[" + strings.Join(products, ",") + "]"}
	h, _ := build(b, &compose.Config{Parts: parts{
		"user": {To: "a", Get: "/u"}, "cart": {To: "a", Get: "/c/{user.cart}", Rename: map[string]string{"items.unit_price": "price"}},
		"product": {To: "a", ForEach: "cart.items", Get: "/p?ids={item.id}", Select: []string{"title"}, Batch: &compose.Batch{Key: "id"}},
	}}, s.upstream)
	r := httptest.NewRequest("GET", "/home", nil)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Code, w.Body)
		}
	}
}
