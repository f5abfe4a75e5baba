package aggregate

import (
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// kept is a snapshot's data. Types is the fingerprint of the registry: a program
// that knows other events would have made another state of the same stream, and
// one that knows fewer must notice the events it does not know.
type kept[S any] struct {
	Types string `json:"types"`
	State S      `json:"state"`
}

// fromSnapshot returns the stream's snapshot, or the initial state when there is
// none that can be used or when it is beyond the revision most (0: no limit).
func (a *Aggregate[S]) fromSnapshot(ctx context.Context, stream string, most banyan.Revision) *folded[S] {
	if a.opts.Snapshot.Every == 0 {
		return a.initial()
	}
	snap, err := a.store.LoadSnapshot(ctx, stream, a.opts.Snapshot.Schema)
	switch {
	case errors.Is(err, banyan.ErrNotFound):
		return a.initial()
	case err != nil:
		// The events are asked next: if the store is gone, they say so.
		a.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "snapshot not loaded, reading the events", slog.String("stream", stream), slog.Any("error", err))
		return a.initial()
	case most > 0 && snap.Revision > most:
		return a.initial()
	}
	var k kept[S]
	if err := json.Unmarshal(snap.Data, &k); err != nil {
		a.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "snapshot not readable, reading the events", slog.String("stream", stream), slog.Any("error", err))
		return a.initial()
	}
	if k.Types != a.fingerprint {
		return a.initial()
	}
	return &folded[S]{state: k.State, revision: snap.Revision, snapshot: snap.Revision}
}

// keep saves the state if it is time to. A state in which an event is missing,
// because it was unknown and ignored, is never kept: it would hide that event
// from programs that know it.
func (a *Aggregate[S]) keep(ctx context.Context, stream string, l *folded[S]) {
	every := a.opts.Snapshot.Every
	if every == 0 || l.unknown != nil || l.revision-l.snapshot < banyan.Revision(every) {
		return
	}
	data, err := json.Marshal(kept[S]{Types: a.fingerprint, State: l.state})
	if err == nil {
		err = a.store.SaveSnapshot(ctx, store.Snapshot{
			Stream: stream, Revision: l.revision, Schema: a.opts.Snapshot.Schema, Data: data,
		})
	}
	if err != nil {
		a.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "snapshot not kept", slog.String("stream", stream), slog.Int64("revision", int64(l.revision)), slog.Any("error", err))
	}
}

// checkJSON refuses states that would not come back whole from a snapshot.
func checkJSON[S any]() error {
	t := reflect.TypeFor[S]()
	if err := survives(t, t.String(), map[reflect.Type]bool{}); err != nil {
		return fmt.Errorf("%w: snapshots need a state that JSON keeps: %w; change it, give it MarshalJSON and UnmarshalJSON, or set Snapshot.Every to 0", banyan.ErrInvalid, err)
	}
	return nil
}

func survives(t reflect.Type, path string, seen map[reflect.Type]bool) error {
	if seen[t] || speaksForItself(t) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return survives(t.Elem(), path, seen)
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf("%s is of kind %s", path, t.Kind())
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name := path + "." + f.Name
			switch {
			case f.Type.Size() == 0: // carries nothing
			case !f.IsExported() && (!f.Anonymous || f.Type.Kind() != reflect.Struct):
				return fmt.Errorf("%s is not exported", name)
			case f.Tag.Get("json") == "-":
				return fmt.Errorf("%s is left out by its json tag", name)
			default:
				if err := survives(f.Type, name, seen); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// speaksForItself reports whether a type says how it is encoded, and decoded.
func speaksForItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	is := func(i reflect.Type) bool { return t.Implements(i) || p.Implements(i) }
	return is(reflect.TypeFor[json.Marshaler]()) && is(reflect.TypeFor[json.Unmarshaler]()) ||
		is(reflect.TypeFor[encoding.TextMarshaler]()) && is(reflect.TypeFor[encoding.TextUnmarshaler]())
}
