package openapi

import "encoding/json"

// upgrade makes a document of OpenAPI 3.0 one of 3.1, in place: its schemas are a
// dialect of their own (OpenAPI 3.0.3 §4.7.24).
func upgrade(root map[string]any) {
	root["openapi"] = "3.1.0"
	walk(place{kindDocument, root, ""}, func(p place) bool {
		if m := p.object(); m != nil && p.kind == kindSchema {
			upgradeSchema(m)
		}
		return true
	})
}

func upgradeSchema(m map[string]any) {
	if ref, ok := m["$ref"]; ok { // what stands beside it is ignored in 3.0
		clear(m)
		m["$ref"] = ref
		return
	}
	if flag(m, "nullable") {
		nullable(m)
	}
	delete(m, "nullable")
	exclusive(m, "minimum", "exclusiveMinimum")
	exclusive(m, "maximum", "exclusiveMaximum")
	if example, ok := m["example"]; ok {
		if _, taken := m["examples"]; !taken {
			m["examples"] = []any{example}
		}
		delete(m, "example")
	}
	// Of the keywords that only 2020-12 has, 3.0 knows none: they say nothing there.
	for _, name := range []string{
		"const", "if", "then", "else", "contains", "minContains", "maxContains", "prefixItems", "propertyNames", "patternProperties",
		"dependentSchemas", "dependentRequired", "unevaluatedItems", "unevaluatedProperties", "contentSchema", "contentEncoding", "contentMediaType",
		"$schema", "$anchor", "$dynamicAnchor", "$defs", "$comment",
	} {
		delete(m, name)
	}
}

// nullable counts only beside a type; an enum has to list null itself (3.0.3,
// proposal 2019-10-31).
func nullable(m map[string]any) {
	if t := text(m, "type"); t != "" {
		m["type"] = []any{t, "null"}
	}
}

// exclusive turns the flag of 3.0 into the bound of 2020-12.
func exclusive(m map[string]any, bound, name string) {
	is, ok := m[name].(bool)
	if !ok {
		return
	}
	delete(m, name)
	if n, has := m[bound].(json.Number); has && is {
		m[name] = n
		delete(m, bound)
	}
}
