package banyan

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
)

// Types maps Go types to event names with schema versions and back. It is a
// value: build one per bounded context with NewTypes, usually as a package
// variable of the domain package, and hand it to what reads or writes events.
// It never changes after NewTypes.
type Types struct {
	byGo   map[reflect.Type]*typeDef
	byName map[string]*typeDef
	err    error
}

// A TypeDef declares one event type; TypeOf makes it.
type TypeDef struct {
	def typeDef
	err error
}

type typeDef struct {
	goType  reflect.Type
	name    string
	schema  int
	upcasts map[int]func(Raw) ([]Raw, error) // by the version they read
	decode  func([]byte) (any, error)
}

// Raw is a payload that is not (yet) a Go value: the input and output of
// upcasters, and what Decode returns for an unknown type or for a version newer
// than the code.
type Raw struct {
	Type   string
	Schema int
	Data   []byte
}

// An Upcaster turns a stored version of an event into the next one.
type Upcaster struct {
	from int
	fn   func(Raw) ([]Raw, error)
}

// UpcastRaw declares a step from schema version from of a type to the next, on
// raw bytes. The step may return several payloads, also of other types (an
// event that was split), or none (an event that was dropped). A result of the
// same type must have a higher version than from.
func UpcastRaw(from int, fn func(Raw) ([]Raw, error)) Upcaster {
	return Upcaster{from: from, fn: fn}
}

// Upcast declares a step from version from to from+1 of the same type, between
// Go types that describe the JSON of both versions.
func Upcast[Old, New any](from int, fn func(Old) (New, error)) Upcaster {
	return UpcastRaw(from, func(r Raw) ([]Raw, error) {
		var before Old
		if err := json.Unmarshal(r.Data, &before); err != nil {
			return nil, err
		}
		after, err := fn(before)
		if err != nil {
			return nil, err
		}
		data, err := json.Marshal(after)
		if err != nil {
			return nil, err
		}
		return []Raw{{Type: r.Type, Schema: from + 1, Data: data}}, nil
	})
}

// TypeOf declares that the Go type T is the event called name in schema version
// schema (from 1), and how older versions become it. T is encoded as JSON.
func TypeOf[T any](name string, schema int, upcasters ...Upcaster) TypeDef {
	def := typeDef{
		goType:  reflect.TypeFor[T](),
		name:    name,
		schema:  schema,
		upcasts: make(map[int]func(Raw) ([]Raw, error), len(upcasters)),
		decode: func(data []byte) (any, error) {
			var v T
			err := json.Unmarshal(data, &v)
			return v, err
		},
	}
	var errs []error
	if name == "" || schema < 1 {
		errs = append(errs, fmt.Errorf("type %s: name %q, schema %d: a name and a version from 1 are needed", def.goType, name, schema))
	}
	for _, u := range upcasters {
		if u.from < 1 || u.from >= schema {
			errs = append(errs, fmt.Errorf("type %s: upcaster from version %d: current version is %d", name, u.from, schema))
		}
		if _, twice := def.upcasts[u.from]; twice {
			errs = append(errs, fmt.Errorf("type %s: two upcasters from version %d", name, u.from))
		}
		def.upcasts[u.from] = u.fn
	}
	return TypeDef{def: def, err: errors.Join(errs...)}
}

// NewTypes builds a registry. Mistakes in the declarations do not panic: they
// are kept, returned by Err, and by every Encode and Decode.
func NewTypes(defs ...TypeDef) *Types {
	t := &Types{byGo: map[reflect.Type]*typeDef{}, byName: map[string]*typeDef{}}
	var errs []error
	for _, d := range defs {
		if d.err != nil {
			errs = append(errs, d.err)
			continue
		}
		def := d.def
		if _, twice := t.byName[def.name]; twice {
			errs = append(errs, fmt.Errorf("type %s is declared twice", def.name))
		}
		if _, twice := t.byGo[def.goType]; twice {
			errs = append(errs, fmt.Errorf("the Go type %s is declared twice", def.goType))
		}
		t.byName[def.name], t.byGo[def.goType] = &def, &def
	}
	if err := errors.Join(errs...); err != nil {
		t.err = fmt.Errorf("banyan: types: %w: %w", ErrInvalid, err)
	}
	return t
}

// Err returns what is wrong with the declarations, or nil.
func (t *Types) Err() error { return t.err }

// Names returns the declared names in alphabetical order.
func (t *Types) Names() []string {
	names := make([]string, 0, len(t.byName))
	for name := range t.byName {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Schema returns the current schema version of a name, or 0 when it is unknown.
func (t *Types) Schema(name string) int {
	if def := t.byName[name]; def != nil {
		return def.schema
	}
	return 0
}

// NameOf returns the event name of the Go value's type.
func (t *Types) NameOf(v any) (string, bool) {
	def := t.byGo[reflect.TypeOf(v)]
	if def == nil {
		return "", false
	}
	return def.name, true
}

// Encode turns a Go value into an event with Type, Schema and Data filled.
func (t *Types) Encode(v any) (Event, error) {
	if t.err != nil {
		return Event{}, t.err
	}
	def := t.byGo[reflect.TypeOf(v)]
	if def == nil {
		return Event{}, fmt.Errorf("banyan: encode %T: %w: the type is not declared; add banyan.TypeOf[%T] to the registry", v, ErrInvalid, v)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return Event{}, fmt.Errorf("banyan: encode %s: %w: %w", def.name, ErrInvalid, err)
	}
	return Event{Type: def.name, Schema: def.schema, Data: data}, nil
}

// Decode turns an event into the Go values it stands for: one in the usual
// case, none or several after an upcaster that dropped or split it. An unknown
// type, and a version newer than the code's, come back as a single Raw: a
// reader that does not care goes on, one that does can hold. Bytes that do not
// fit their type are an error of kind ErrCorrupt.
func (t *Types) Decode(e Event) ([]any, error) {
	if t.err != nil {
		return nil, t.err
	}
	raw := Raw{Type: e.Type, Schema: max(e.Schema, 1), Data: e.Data}
	if def := t.byName[raw.Type]; def != nil && def.schema == raw.Schema {
		v, err := def.decode(raw.Data) // the common case, without a slice of Raw
		if err != nil {
			return nil, decodeError(e, err)
		}
		return []any{v}, nil
	}
	current, err := t.upcast(raw, 0)
	if err != nil {
		return nil, decodeError(e, err)
	}
	out := make([]any, 0, len(current))
	for _, r := range current {
		def := t.byName[r.Type]
		if def == nil || def.schema != r.Schema {
			out = append(out, r)
			continue
		}
		v, err := def.decode(r.Data)
		if err != nil {
			return nil, decodeError(e, err)
		}
		out = append(out, v)
	}
	return out, nil
}

func decodeError(e Event, err error) error {
	return fmt.Errorf("banyan: decode %s v%d, event %s (%s@%d): %w: %w", e.Type, max(e.Schema, 1), e.ID, e.Stream, e.Revision, ErrCorrupt, err)
}

// maxUpcasts bounds a chain, so that upcasters that turn two types into each
// other end with an error and not with the memory.
const maxUpcasts = 100

// upcast brings r to the current version of its type, depth first so that the
// parts of a split event keep their order.
func (t *Types) upcast(r Raw, steps int) ([]Raw, error) {
	def := t.byName[r.Type]
	if def == nil || r.Schema >= def.schema {
		return []Raw{r}, nil
	}
	if steps == maxUpcasts {
		return nil, fmt.Errorf("upcasters do not end: %d steps and still at version %d of %s", steps, r.Schema, r.Type)
	}
	fn := def.upcasts[r.Schema]
	if fn == nil {
		return nil, fmt.Errorf("no upcaster from version %d to %d of %s: declare banyan.Upcast(%d, …)", r.Schema, def.schema, r.Type, r.Schema)
	}
	next, err := fn(r)
	if err != nil {
		return nil, fmt.Errorf("upcast from version %d: %w", r.Schema, err)
	}
	var out []Raw
	for _, n := range next {
		if n.Type == r.Type && n.Schema <= r.Schema {
			return nil, fmt.Errorf("upcast from version %d returned version %d", r.Schema, n.Schema)
		}
		done, err := t.upcast(n, steps+1)
		if err != nil {
			return nil, err
		}
		out = append(out, done...)
	}
	return out, nil
}
