// Command inventory runs the service that knows how much was sold and came back. Say where the
// orders are with --set orders=URL.
package main

import (
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop"
)

func main() { app.Main("inventory", shop.Reader("inventory")) }
