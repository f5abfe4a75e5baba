// Command catalogue runs the service that knows the products. Say where the
// orders are with --set orders=URL.
package main

import (
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop"
)

func main() { app.Main("catalogue", shop.Reader("catalogue")) }
