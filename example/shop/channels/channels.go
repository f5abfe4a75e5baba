// Package channels holds the parts of the gateway's configuration that are for one
// kind of client each: what a screen of the app, a page of the shop and a partner's
// program need, made of the answers of several services. A file belongs to the team
// of its channel; the gateway includes all of them:
//
//	include: [channels/*.yaml]
//
// They use the upstream "shop". Package gateway/compose explains their language.
package channels

import "embed"

// Files are mobile.yaml, web.yaml and partner.yaml.
//
//go:embed *.yaml
var Files embed.FS
