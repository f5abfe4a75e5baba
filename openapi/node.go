package openapi

import (
	"encoding/json"
	"maps"
	"math/big"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// typeSet is a set of JSON types. A schema's "number" has integers in it.
type typeSet uint8

const (
	isNull typeSet = 1 << iota
	isBoolean
	isInteger
	isFraction // a number that is no integer
	isString
	isArray
	isObject

	isAny = isNull | isBoolean | isInteger | isFraction | isString | isArray | isObject
)

func typeNamed(name string) typeSet {
	switch name {
	case "null":
		return isNull
	case "boolean":
		return isBoolean
	case "integer":
		return isInteger
	case "number":
		return isInteger | isFraction
	case "string":
		return isString
	case "array":
		return isArray
	case "object":
		return isObject
	}
	return 0
}

// names returns the types as schemas call them.
func (t typeSet) names() []string {
	var all []string
	for _, name := range []string{"null", "boolean", "integer", "number", "string", "array", "object"} {
		set := typeNamed(name)
		if t&set == set && (name != "integer" || t&isFraction == 0) {
			all = append(all, name)
		}
	}
	return all
}

func typeOf(v any) typeSet {
	switch v := v.(type) {
	case nil:
		return isNull
	case bool:
		return isBoolean
	case json.Number:
		if decimalOf(v.String()).integer() {
			return isInteger
		}
		return isFraction
	case string:
		return isString
	case []any:
		return isArray
	case map[string]any:
		return isObject
	}
	return 0
}

// node is a compiled schema, ready to be evaluated.
type node struct {
	refuse   bool // the schema false
	settled  bool // accepted is computed
	accepted typeSet
	types    typeSet
	enum     []any // of const, too
	format   *jsonschema.Format
	ref      *node
	not      *node
	allOf    []*node
	anyOf    []*node
	oneOf    []*node
	when     *node // if
	then     *node
	otherway *node // else

	minProperties, maxProperties *int
	required                     []string
	properties                   map[string]*node
	tags                         []string // properties that tell alternatives apart: they have an enum
	patterns                     []patternNode
	additional                   *node
	propertyNames                *node
	needs                        map[string][]string // dependentRequired
	implies                      map[string]*node    // dependentSchemas

	minItems, maxItems       *int
	unique                   bool
	prefix                   []*node
	rest                     *node // items
	contains                 *node
	minContains, maxContains *int

	minLength, maxLength *int
	pattern              jsonschema.Regexp

	minimum, maximum, above, below *decimal // above and below are the exclusive ones
	multipleOf                     *big.Rat

	// What no other keyword looked at (JSON Schema 2020-12 §11).
	otherFields, otherItems *node // unevaluatedProperties, unevaluatedItems
}

type patternNode struct {
	name jsonschema.Regexp
	node *node
}

// nodes turns the library's schemas into nodes, each once: schemas are graphs.
type nodes map[*jsonschema.Schema]*node

func (ns nodes) of(s *jsonschema.Schema) *node {
	if s == nil {
		return nil
	}
	if n, ok := ns[s]; ok {
		return n
	}
	n := &node{types: isAny}
	ns[s] = n
	if s.Bool != nil {
		n.refuse = !*s.Bool
		return n
	}
	n.otherFields, n.otherItems = ns.of(s.UnevaluatedProperties), ns.of(s.UnevaluatedItems)
	ns.general(n, s)
	ns.object(n, s)
	ns.array(n, s)
	n.minLength, n.maxLength, n.pattern = s.MinLength, s.MaxLength, s.Pattern
	n.minimum, n.maximum, n.above, n.below = bound(s.Minimum), bound(s.Maximum), bound(s.ExclusiveMinimum), bound(s.ExclusiveMaximum)
	n.multipleOf = s.MultipleOf
	return n
}

func bound(r *big.Rat) *decimal {
	if r == nil {
		return nil
	}
	d := decimalOfRat(r)
	return &d
}

func (ns nodes) all(list []*jsonschema.Schema) []*node {
	var out []*node
	for _, s := range list {
		out = append(out, ns.of(s))
	}
	return out
}

func (ns nodes) general(n *node, s *jsonschema.Schema) {
	if s.Types != nil && !s.Types.IsEmpty() {
		n.types = 0
		for _, name := range s.Types.ToStrings() {
			n.types |= typeNamed(name)
		}
	}
	if s.Enum != nil {
		n.enum = append([]any{}, s.Enum.Values...)
	}
	if s.Const != nil {
		n.enum = both(n.enum, *s.Const)
	}
	if s.Format != nil && s.Format.Name != "regex" { // to compile a client's pattern is no check of a gateway
		n.format = s.Format
	}
	n.ref, n.not = ns.of(s.Ref), ns.of(s.Not)
	n.allOf, n.anyOf, n.oneOf = ns.all(s.AllOf), ns.all(s.AnyOf), ns.all(s.OneOf)
	n.when, n.then, n.otherway = ns.of(s.If), ns.of(s.Then), ns.of(s.Else)
}

// both is what an enum and a const leave.
func both(enum []any, constant any) []any {
	if enum == nil || slices.ContainsFunc(enum, func(v any) bool { return equal(v, constant) }) {
		return []any{constant}
	}
	return []any{}
}

func (ns nodes) object(n *node, s *jsonschema.Schema) {
	n.minProperties, n.maxProperties, n.required = s.MinProperties, s.MaxProperties, s.Required
	if len(s.Properties) > 0 {
		n.properties = make(map[string]*node, len(s.Properties))
	}
	for name, p := range s.Properties {
		n.properties[name] = ns.of(p)
		if n.properties[name].enum != nil {
			n.tags = append(n.tags, name)
		}
	}
	for name, p := range s.PatternProperties {
		n.patterns = append(n.patterns, patternNode{name, ns.of(p)})
	}
	slices.SortFunc(n.patterns, func(a, b patternNode) int { return compareText(a.name.String(), b.name.String()) })
	switch a := s.AdditionalProperties.(type) {
	case bool:
		n.additional = &node{types: isAny, refuse: !a}
	case *jsonschema.Schema:
		n.additional = ns.of(a)
	}
	n.propertyNames = ns.of(s.PropertyNames)
	n.needs = s.DependentRequired
	for name, d := range s.DependentSchemas {
		if n.implies == nil {
			n.implies = map[string]*node{}
		}
		n.implies[name] = ns.of(d)
	}
}

func (ns nodes) array(n *node, s *jsonschema.Schema) {
	n.minItems, n.maxItems, n.unique = s.MinItems, s.MaxItems, s.UniqueItems
	n.prefix, n.rest = ns.all(s.PrefixItems), ns.of(s.Items2020)
	n.contains, n.minContains, n.maxContains = ns.of(s.Contains), s.MinContains, s.MaxContains
}

// sameInstance returns the schemas that look at the same value as n does.
func (n *node) sameInstance() []*node {
	all := slices.Concat(n.allOf, n.anyOf, n.oneOf)
	for _, one := range []*node{n.ref, n.not, n.when, n.then, n.otherway} {
		if one != nil {
			all = append(all, one)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.implies)) {
		all = append(all, n.implies[name])
	}
	return all
}

// endless reports whether a schema asks itself about the same value.
func (n *node) endless(state map[*node]int) bool {
	const open, done = 1, 2
	if state[n] != 0 {
		return state[n] == open
	}
	state[n] = open
	for _, next := range n.sameInstance() {
		if next.endless(state) {
			return true
		}
	}
	state[n] = done
	return false
}

// accepts returns the types that a value may have; too many where it is not sure.
// It is computed once, when the schema is compiled.
func (n *node) accepts() typeSet {
	if !n.settled {
		n.accepted, n.settled = n.acceptable(), true
	}
	return n.accepted
}

func (n *node) acceptable() typeSet {
	if n.refuse {
		return 0
	}
	set := n.types
	if n.enum != nil {
		var of typeSet
		for _, v := range n.enum {
			of |= typeOf(v)
		}
		set &= of
	}
	if n.ref != nil {
		set &= n.ref.accepts()
	}
	for _, a := range n.allOf {
		set &= a.accepts()
	}
	for _, alternatives := range [][]*node{n.anyOf, n.oneOf} {
		var of typeSet
		for _, a := range alternatives {
			of |= a.accepts()
		}
		if len(alternatives) > 0 {
			set &= of
		}
	}
	return set
}

// only reports whether a text can mean nothing but a value of the type.
func (n *node) only(t typeSet) bool {
	return n != nil && n.accepts()&t != 0 && n.accepts()&isString == 0
}

// find returns what get finds first in n and in the schemas that n is made of.
func (n *node) find(get func(*node) *node) *node { return n.search(get, map[*node]bool{}) }

func (n *node) search(get func(*node) *node, seen map[*node]bool) *node {
	if n == nil || seen[n] {
		return nil
	}
	if found := get(n); found != nil {
		return found
	}
	seen[n] = true
	for _, next := range slices.Concat([]*node{n.ref}, n.allOf, n.anyOf, n.oneOf) {
		if found := next.search(get, seen); found != nil {
			return found
		}
	}
	return nil
}

// property returns the schema of a property, nil where nothing says.
func (n *node) property(name string) *node {
	return n.find(func(n *node) *node {
		if p := n.properties[name]; p != nil {
			return p
		}
		if n.properties == nil && n.additional != nil && !n.additional.refuse {
			return n.additional
		}
		return nil
	})
}

// item returns the schema of the i-th item, nil where nothing says.
func (n *node) item(i int) *node {
	return n.find(func(n *node) *node {
		if i < len(n.prefix) {
			return n.prefix[i]
		}
		return n.rest
	})
}
