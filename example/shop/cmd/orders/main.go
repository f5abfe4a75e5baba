// Command orders runs the service that takes orders and returns. Say whom it asks
// before it places an order with --set users=URL --set payments=URL.
package main

import (
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop"
)

func main() { app.Main("orders", shop.Orders) }
