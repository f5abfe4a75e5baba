package cache_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/cache"
)

func newCache(t testing.TB) *cache.Cache {
	t.Helper()
	c, err := cache.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// What tags events make of rules.
func TestTagsOfEvents(t *testing.T) {
	t.Parallel()
	event := banyan.Event{
		Type: "order.placed", Stream: "order-536-b", Meta: banyan.Metadata{Tenant: "acme"},
		Data: []byte(`{"customer":"c7","big":9007199254740993,"paid":true,"type":"gift","address":{"country":"NO"},"lines":[{"sku":"s1"},{"sku":"s2"},{"sku":"s1"}],"none":null,"empty":[]}`),
	}
	tests := []struct {
		kind, tag string
		want      []string
		fails     bool
	}{
		{"order.placed", "orders", []string{"orders"}, false},
		{"order.placed", "{category}:{key}@{tenant}", []string{"order:536-b@acme"}, false},
		{"order.placed", "order:{stream}", []string{"order:order-536-b"}, false},
		{"order.placed", "{type}/{data.type}", []string{"order.placed/gift"}, false},
		{"order.placed", "customer:{customer}", []string{"customer:c7"}, false},
		{"order.placed", "{big}{paid}", []string{"9007199254740993true"}, false},
		{"order.placed", "country:{address.country}", []string{"country:NO"}, false},
		{"order.placed", "sku:{lines.sku}", []string{"sku:s1", "sku:s2"}, false},
		{"order.placed", "{lines.sku}{customer}", []string{"s1c7", "s2c7"}, false},
		{"order.placed", "{empty}", nil, false},
		{"order.*", "any", []string{"any"}, false},
		{"*", "any", []string{"any"}, false},
		{"order", "any", nil, false},
		{"order.placed.*", "any", nil, false},
		{"order.placed", "{absent}", nil, true},
		{"order.placed", "{none}", nil, true},
		{"order.placed", "{address}", nil, true},
		{"order.placed", "{customer.name}", nil, true},
		{"order.placed", "{lines}", nil, true},
	}
	for _, test := range tests {
		v, err := cache.NewInvalidator(newCache(t), map[string][]string{test.kind: {test.tag}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		tags, err := v.Tags(event)
		if diff := cmp.Diff(test.want, tags); diff != "" || errors.Is(err, banyan.ErrInvalid) != test.fails {
			t.Errorf("%s %s: %v (-want +got):\n%s", test.kind, test.tag, err, diff)
		}
	}
}

func TestInvalidatorRefuses(t *testing.T) {
	t.Parallel()
	for kind, tag := range map[string]string{"": "a", "a*b": "a", "a": "", "b": "{", "c": "{}", "d": "}", "e": "{a}}", "f": "{a{b}}", "g": "x{a"} {
		if _, err := cache.NewInvalidator(newCache(t), map[string][]string{kind: {tag}}, nil); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%q %q: %v, want invalid", kind, tag, err)
		}
	}
	if _, err := cache.NewInvalidator(nil, nil, nil); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("no cache: %v", err)
	}
}

// An event purges what it makes old, also if a part of its tags cannot be made.
func TestEventsPurge(t *testing.T) {
	t.Parallel()
	for _, soft := range []bool{false, true} {
		b := setup(t, nil, &cache.Rules{StaleWhileRevalidate: 1 << 50}, tagged())
		rules := map[string][]string{"order.placed": {"order:{key}", "customer:{customer}"}}
		v, err := cache.NewInvalidator(b.Cache, rules, &cache.InvalidatorOptions{Soft: soft})
		if err != nil {
			t.Fatal(err)
		}
		const mine, other = "http://shop.example/o?tags=order:1", "http://shop.example/o?tags=order:2"
		b.get(mine)
		b.get(other)
		err = v.Handle(t.Context(), banyan.Event{ID: "e1", Type: "order.placed", Stream: "order-1", Data: []byte("no JSON")})
		if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), "e1") {
			t.Errorf("error %v, want invalid, about e1", err)
		}
		if b.get(other); b.status() != cache.Hit {
			t.Errorf("another order: %v", b.status())
		}
		want := map[bool]cache.Status{false: cache.Miss, true: cache.Stale}[soft]
		if b.get(mine); b.status() != want {
			t.Errorf("the order: %v, want %v", b.status(), want)
		}
		if err := v.Handle(t.Context(), banyan.Event{Type: "order.seen"}); err != nil {
			t.Errorf("an event without rules: %v", err)
		}
	}
}

func TestTooManyTags(t *testing.T) {
	t.Parallel()
	v, err := cache.NewInvalidator(newCache(t), map[string][]string{"a": {"{x}{x}{x}"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	data := `{"x":[` + strings.Repeat("1,", 99) + `1]}`
	if tags, err := v.Tags(banyan.Event{Type: "a", Data: []byte(data)}); !errors.Is(err, banyan.ErrInvalid) || tags != nil {
		t.Errorf("%d tags, %v; want invalid", len(tags), err)
	}
}
