package edge

import (
	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/acme"
)

// ACME is the part of a configuration that package acme takes.
func ACME(c *gateway.ACME) acme.Config {
	return acme.Config{
		Domains: c.Domains, Email: c.Email, Directory: c.Directory, Storage: c.Storage, CARoot: c.CARoot,
		EABKeyID: c.EABKeyID, EABKeyFile: c.EABKeyFile,
	}
}
