package gateway_test

import (
	"net/http"
	"strings"
	"testing"
)

// An audience learns of nothing that is not for it: no operation by a link, no
// schema that only others need, no other audience, and nothing of what is behind
// the gateway. Who sees everything sees extensions, too, but no server.
func TestCatalogueTellsAudiencesNoMore(t *testing.T) {
	t.Parallel()
	document := newService(t, `
openapi: 3.1.0
info: {title: Pets, version: '1', x-team: hidden}
servers: [{url: 'http://hidden.internal'}]
tags: [{name: hidden}, {name: reading}]
paths:
  /pets:
    servers: [{url: 'http://hidden.internal'}]
    get:
      x-audience: [public, hidden-partner]
      x-backend: hidden.internal
      servers: [{url: 'http://hidden.internal'}]
      tags: [reading]
      responses:
        '200':
          description: ok
          content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}, examples: {one: {$ref: '#/components/examples/One'}}}}
          links: {next: {operationId: hiddenOne}, same: {operationRef: '#/paths/~1pets/get'}}
    post: {x-audience: hidden-partner, tags: [hidden], operationId: hiddenTwo, requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Hidden'}}}}, responses: {'204': {description: hidden}}}
  /hidden: {get: {operationId: hiddenOne, responses: {'200': {description: hidden}}}}
components:
  examples: {One: {value: {name: Rex}}, Hidden: {value: {}}}
  schemas: {Pet: {type: object, x-table: hidden}, Hidden: {type: object}}
`)
	c := newCatalogued(t, map[string]string{"banyan.yaml": `
catalogue: {audiences: {public: {path: /public.json}, everybody: {all: true}}}
upstreams: {pets: {targets: ["` + document.url + `"], openapi: /openapi.json}}
routes: [{match: /, to: pets}]
`})
	c.settled(t)
	until(t, "the operation", func() bool { d, _ := c.document(t, "public"); return len(d.Operations()) == 1 })
	public := ask(c, "GET", "http://x/public.json").Body.String()
	if strings.Contains(strings.ToLower(public), "hidden") || !strings.Contains(public, "Rex") || !strings.Contains(public, `"same"`) {
		t.Errorf("the public sees %s", public)
	}
	all := ask(c.admin, "GET", "http://localhost/v1/catalogue?audience=everybody").Body.String()
	if !strings.Contains(all, "x-backend") || strings.Contains(all, "http://hidden") {
		t.Errorf("who sees everything sees %s", all)
	}
}

// A target that does not answer costs the others no time of theirs.
func TestCatalogueOfSlowTarget(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes as long as a document may")
	}
	t.Parallel()
	slow := behind(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	good := newService(t, usersDoc)
	c := newCatalogued(t, map[string]string{"banyan.yaml": `
catalogue: {}
upstreams: {users: {targets: ["` + slow + `", "` + good.url + `"], openapi: /openapi.json}}
routes: [{match: /, to: users}]
`})
	until(t, "the document", func() bool {
		s := c.Status().Catalogue
		if len(s) == 1 && s[0].Error != "" {
			t.Fatalf("%+v", s)
		}
		return len(s) == 1 && s[0].Fetched != nil
	})
}
