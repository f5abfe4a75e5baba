package openapi

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// kind is what an object of the document is.
type kind int

const (
	opaque kind = iota // examples, defaults, extensions: not looked into
	kindDocument
	kindInfo
	kindPathItem
	kindOperation
	kindParameter
	kindBody
	kindMedia
	kindEncoding
	kindResponse
	kindHeader
	kindSchema
	kindSecurity
	kindExample
	kindLink
	kindCallback
	kindComponents
	kindTag
)

func (k kind) String() string {
	return [...]string{
		"value", "document", "info", "path item", "operation", "parameter", "request body", "media type",
		"encoding", "response", "header", "schema", "security scheme", "example", "link", "callback", "components", "tag",
	}[k]
}

// shape is how many of a kind a field holds.
type shape int

const (
	one shape = iota
	list
	byName
)

// child is what a field of an object holds.
type child struct {
	kind  kind
	shape shape
}

// methods are the fields of a path item that are operations, in the order of
// listings.
func methods() []string {
	return []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}
}

// children returns what the fields of an object of a kind hold (OpenAPI 3.1 §4.8,
// JSON Schema 2020-12). Fields that are not listed are not looked into.
func children(k kind) map[string]child { return grammar[k] }

// grammar is never changed. One table serves the checks, the references, the
// conversion from 3.0, Merge and Filter.
var grammar = map[kind]map[string]child{
	kindDocument: {
		"info": {kindInfo, one}, "paths": {kindPathItem, byName}, "webhooks": {kindPathItem, byName},
		"components": {kindComponents, one}, "tags": {kindTag, list},
	},
	kindPathItem: {
		"parameters": {kindParameter, list}, "get": {kindOperation, one}, "put": {kindOperation, one}, "post": {kindOperation, one},
		"delete": {kindOperation, one}, "options": {kindOperation, one}, "head": {kindOperation, one}, "patch": {kindOperation, one}, "trace": {kindOperation, one},
	},
	kindOperation: {
		"parameters": {kindParameter, list}, "requestBody": {kindBody, one}, "responses": {kindResponse, byName}, "callbacks": {kindCallback, byName},
	},
	kindParameter: {"schema": {kindSchema, one}, "content": {kindMedia, byName}, "examples": {kindExample, byName}},
	kindBody:      {"content": {kindMedia, byName}},
	kindMedia:     {"schema": {kindSchema, one}, "encoding": {kindEncoding, byName}, "examples": {kindExample, byName}},
	kindEncoding:  {"headers": {kindHeader, byName}},
	kindResponse:  {"headers": {kindHeader, byName}, "content": {kindMedia, byName}, "links": {kindLink, byName}},
	kindHeader:    {"schema": {kindSchema, one}, "content": {kindMedia, byName}, "examples": {kindExample, byName}},
	kindComponents: {
		"schemas": {kindSchema, byName}, "responses": {kindResponse, byName}, "parameters": {kindParameter, byName}, "examples": {kindExample, byName},
		"requestBodies": {kindBody, byName}, "headers": {kindHeader, byName}, "securitySchemes": {kindSecurity, byName}, "links": {kindLink, byName},
		"callbacks": {kindCallback, byName}, "pathItems": {kindPathItem, byName},
	},
	kindSchema: {
		"allOf": {kindSchema, list}, "anyOf": {kindSchema, list}, "oneOf": {kindSchema, list}, "not": {kindSchema, one},
		"if": {kindSchema, one}, "then": {kindSchema, one}, "else": {kindSchema, one}, "dependentSchemas": {kindSchema, byName},
		"prefixItems": {kindSchema, list}, "items": {kindSchema, one}, "contains": {kindSchema, one},
		"properties": {kindSchema, byName}, "patternProperties": {kindSchema, byName}, "additionalProperties": {kindSchema, one}, "propertyNames": {kindSchema, one},
		"unevaluatedItems": {kindSchema, one}, "unevaluatedProperties": {kindSchema, one}, "contentSchema": {kindSchema, one},
		"$defs": {kindSchema, byName}, "definitions": {kindSchema, byName},
	},
}

// place is one object of a document.
type place struct {
	kind  kind
	value any    // mostly map[string]any
	at    string // its JSON pointer
}

// object returns the value, nil if it is no object.
func (p place) object() map[string]any {
	m, _ := p.value.(map[string]any)
	return m
}

// ref returns the place's $ref, "" without one.
func (p place) ref() string {
	s, _ := p.object()["$ref"].(string)
	return s
}

// walk visits a place and everything below it, parents first, in a fixed order.
// What stands beside the $ref of anything but a schema or a path item is ignored
// (OpenAPI 3.1 §4.8.23). The visitor may change the object; it returns false to
// stay out of it.
func walk(p place, visit func(place) bool) {
	if !visit(p) || p.ref() != "" && p.kind != kindSchema && p.kind != kindPathItem {
		return
	}
	object := p.object()
	if p.kind == kindCallback {
		walkMap(object, kindPathItem, p.at, visit)
		return
	}
	fields := children(p.kind)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		c, ok := fields[name]
		if !ok {
			continue
		}
		at, value := p.at+"/"+name, object[name]
		switch c.shape {
		case one:
			walk(place{c.kind, value, at}, visit)
		case list:
			items, _ := value.([]any)
			for i, item := range items {
				walk(place{c.kind, item, at + "/" + strconv.Itoa(i)}, visit)
			}
		case byName:
			m, _ := value.(map[string]any)
			walkMap(m, c.kind, at, visit)
		}
	}
}

func walkMap(m map[string]any, k kind, at string, visit func(place) bool) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if extension(k, key) {
			continue
		}
		walk(place{k, m[key], at + "/" + escapePointer(key)}, visit)
	}
}

// extension reports whether a key is an extension: only the maps of paths,
// callbacks and responses have them.
func extension(k kind, key string) bool {
	return (k == kindPathItem || k == kindResponse) && strings.HasPrefix(key, "x-")
}

// escapePointer writes a name as a part of a JSON pointer (RFC 6901 §3).
func escapePointer(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func unescapePointer(part string) string {
	if !strings.Contains(part, "~") {
		return part
	}
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
}

// lookup returns what a pointer names.
func lookup(root any, pointer string) (any, bool) {
	if pointer == "" {
		return root, true
	}
	for _, part := range strings.Split(pointer[1:], "/") {
		part = unescapePointer(part)
		switch v := root.(type) {
		case map[string]any:
			var ok bool
			if root, ok = v[part]; !ok {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			root = v[i]
		default:
			return nil, false
		}
	}
	return root, true
}
