// Command payments runs the service that authorises what orders cost.
package main

import (
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop"
)

func main() { app.Main("payments", shop.Payments) }
