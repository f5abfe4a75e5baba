// Command orders runs the service that takes orders and returns.
package main

import (
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop"
)

func main() { app.Main("orders", shop.Orders) }
