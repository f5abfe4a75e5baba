package acme_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/banyanhq/banyan/gateway/acme"
)

// A front door with certificates of Let's Encrypt. (Compiled, not run: it needs
// the ports 80 and 443 of a public name.)
func Example() {
	m, err := acme.New(&acme.Config{Domains: []string{"shop.example.com"}, Email: "ops@example.com"}, slog.Default())
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go m.Run(ctx) //nolint:errcheck // nil when ctx ends
	shop := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "welcome") })
	plain := &http.Server{Addr: ":80", Handler: m.HTTPChallenge(http.RedirectHandler("https://shop.example.com", http.StatusMovedPermanently))}
	go plain.ListenAndServe() //nolint:errcheck // an example
	secure := &http.Server{Addr: ":443", Handler: shop, TLSConfig: m.TLS()}
	fmt.Println(secure.ListenAndServeTLS("", ""))
}

// All mistakes of a configuration at once.
func ExampleConfig_Check() {
	c := acme.Config{Domains: []string{"*.example.com", "https://shop.example.com"}, EABKeyID: "customer-7"}
	for _, m := range c.Check() {
		fmt.Println(m.Path+":", m.Text)
	}
	// Output:
	// domains[0]: "*.example.com" is a wildcard, which needs the DNS challenge; name each domain
	// domains[1]: "https://shop.example.com" is not a domain; want letters, digits and "-", without scheme, port and path, and "xn--" for other letters
	// eab_key_file: eab_key_id needs it: the file with the key
}
