// Command analytics runs the service that says how the shop is doing. Say where the
// orders are with --set orders=URL.
package main

import (
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop"
)

func main() { app.Main("analytics", shop.Reader("analytics")) }
