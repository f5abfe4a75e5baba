// Package openapi holds an API to what its OpenAPI document promises: it checks
// requests against the document, compares versions of it, and makes one catalogue
// of the documents of many services.
//
//	doc, err := openapi.Load("orders.yaml")
//	…
//	v, err := openapi.NewValidator(doc, nil)
//	…
//	http.ListenAndServe(addr, v.Handler(orders))
//
// Documents. OpenAPI 3.0 and 3.1, JSON or YAML. [Parse] reads nothing but what it
// is given: references to files and networks are errors. Size, depth, the number of
// values and the length of texts and names are bounded, copies by YAML aliases
// counted. Of JSON Schema, $id, $anchor as a target and $dynamicRef are refused: a
// reference names its target from the root of the document. Errors list up to 20
// faults, with lines. Inside, every document is one of 3.1.
//
// Checking. A [Validator] checks the parameters of the path, the query, headers
// and cookies, and bodies of JSON, forms and texts against their schemas (JSON
// Schema 2020-12, formats included). Numbers are compared exactly. Patterns run in
// linear time and mean what they do in ECMA-262; one that cannot is refused when the
// validator is made. JSON that
// two programs could read differently – a name twice in an object, half a
// surrogate pair, something after the end – is refused. The answer is a problem
// details object (RFC 9457) with up to 20 mistakes, which say what was wanted and
// never what was sent. What is passed on has its body byte for byte. The work for
// a body is bounded by its size: evaluation stops at the twentieth mistake, and
// alternatives inside alternatives have a budget. What that did not suffice for is
// refused, whatever else was found.
//
// Not looked into are bodies of other media types, and parameters whose content is
// neither JSON nor a text. A field that is readOnly need not be in a request, whatever required says.
// Security requirements are not checked here: that is authentication.
//
// Catalogue. [Diff] says what changed between two versions and what of it breaks
// clients. [Merge] makes one document of several, [Document.Filter] one for an
// audience. The same documents give the same bytes.
//
// Concurrency. Documents and validators never change; any number of goroutines
// may use them.
package openapi
