package projection

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"runtime/debug"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// Collection is what a definition needs to know of a *view.Collection[T].
type Collection interface {
	Name() string
	Table(generation int) (view.Table, error)
}

// Options of a Definition.
type Options struct {
	// Version of the code. Raise it when the same events give other rows or the
	// collections have other indexes: a runner then builds a new generation
	// beside the live one and switches. Default: 1.
	Version int
	// Collections are those that the handlers write.
	Collections []Collection
	// Setup makes what a generation needs besides its collections: the user's own
	// SQL tables, named with Batch.Generation. Default: nothing.
	Setup func(ctx context.Context, b *Batch) error
	// Activate is called in the batch that makes a generation the live one, to
	// point readers of the user's own SQL tables to it. Default: nothing.
	Activate func(ctx context.Context, b *Batch) error
	// Teardown removes what Setup made. Default: nothing.
	Teardown func(ctx context.Context, b *Batch) error
	// Key says which events belong together: when one fails, later ones of the
	// same key wait for it. Default: the stream.
	Key func(banyan.Event) string
	// Prefixes select the streams whose names start with one of them. Default: all.
	Prefixes []string
	// BatchSize is how many events share a batch at most; a generation that is
	// being built takes up to eight times as many, as long as that holds up the
	// live one for no more than 200 ms. Default: 256.
	BatchSize int
}

// Definition says how events become rows. It is built once with Define, On and
// OnAny, and must not change after it was given to NewRunner, which reports the
// mistakes in it.
type Definition struct {
	name     string
	types    *banyan.Types
	opts     Options
	handlers map[string]handler // by event type
	any      handler
	errs     []error
}

type handler func(ctx context.Context, b *Batch, payload any, e banyan.Event) error

// Define starts the definition of a projection. The name is that of its
// checkpoint: 1 to 40 of a-z, 0-9 and _, starting with a letter.
func Define(name string, types *banyan.Types, o *Options) *Definition {
	d := &Definition{name: name, types: types, handlers: map[string]handler{}}
	if o != nil {
		d.opts = *o
	}
	if d.opts.Version == 0 {
		d.opts.Version = 1
	}
	if d.opts.BatchSize == 0 {
		d.opts.BatchSize = 256
	}
	if d.opts.Key == nil {
		d.opts.Key = func(e banyan.Event) string { return e.Stream }
	}
	return d
}

// Name returns the projection's name.
func (d *Definition) Name() string { return d.name }

// On declares what the event whose payload is E does. Older schema versions
// arrive upcast. fn runs inside the batch: it may read and write through it, and
// nothing else of the same database. Whatever it does elsewhere belongs into
// Batch.Effect.
func On[E any](d *Definition, fn func(ctx context.Context, b *Batch, payload E, e banyan.Event) error) {
	goType := reflect.TypeFor[E]()
	if d.types == nil || fn == nil {
		d.fault("on %s: types and a function are needed", goType)
		return
	}
	var zero E
	name, ok := d.types.NameOf(zero)
	if !ok {
		d.fault("on %s: the type is not declared; add banyan.TypeOf[%s] to the registry", goType, goType)
		return
	}
	if d.handlers[name] != nil {
		d.fault("on %s: event %s has a handler already", goType, name)
		return
	}
	d.handlers[name] = func(ctx context.Context, b *Batch, payload any, e banyan.Event) error {
		return fn(ctx, b, payload.(E), e) //nolint:forcetypeassert // Types.Decode gives the type that NameOf was asked for
	}
}

// OnAny declares what every event does, after the handler of On if it has one:
// also events of types that are not declared, and tombstones, whose payload is a
// banyan.Raw.
func OnAny(d *Definition, fn func(ctx context.Context, b *Batch, payload any, e banyan.Event) error) {
	if fn == nil || d.any != nil {
		d.fault("on any: one function is needed")
		return
	}
	d.any = fn
}

func (d *Definition) fault(format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf(format, args...))
}

var nameRule = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// check returns all mistakes of the definition in one error.
func (d *Definition) check() error {
	errs := d.errs
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nameRule.MatchString(d.name) {
		fault("name %q: want 1 to 40 of a-z, 0-9 and _, starting with a letter", d.name)
	}
	if d.types != nil && d.types.Err() != nil {
		errs = append(errs, d.types.Err())
	}
	if len(d.handlers) == 0 && d.any == nil {
		fault("it handles no event: use projection.On")
	}
	if d.opts.Version < 1 || d.opts.BatchSize < 1 {
		fault("version %d, batch size %d: both must be at least 1", d.opts.Version, d.opts.BatchSize)
	}
	names := map[string]bool{}
	for _, c := range d.opts.Collections {
		if c == nil {
			fault("a collection is nil")
			continue
		}
		if names[c.Name()] {
			fault("collection %s is named twice", c.Name())
		}
		names[c.Name()] = true
		if reserved(c.Name()) {
			fault("collection %s: names that start with banyan_ are reserved", c.Name())
		}
		if _, err := c.Table(maxGeneration); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("projection: define %s: %w: %w", d.name, banyan.ErrInvalid, err)
	}
	return nil
}

// maxGeneration bounds the length of table names.
const maxGeneration = 9999

func reserved(name string) bool { return len(name) >= 7 && name[:7] == "banyan_" }

// filter selects what may concern the definition. An upcaster can turn any
// declared type into a handled one, so that all declared types are read.
func (d *Definition) filter() store.Filter {
	f := store.Filter{Prefixes: d.opts.Prefixes}
	if d.any == nil {
		f.Types = d.types.Names()
	}
	return f
}

// errNewer parks an event that only newer code can read.
var errNewer = errors.New("newer version")

// handle applies one event. A panic of a handler is an error of its event: the
// process goes on, and so do the other keys.
func (d *Definition) handle(ctx context.Context, b *Batch, e banyan.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	payloads, err := d.decode(e)
	if err != nil {
		return err
	}
	for _, payload := range payloads {
		if err := d.handlePayload(ctx, b, payload, e); err != nil {
			return err
		}
	}
	return nil
}

func (d *Definition) decode(e banyan.Event) ([]any, error) {
	if d.types == nil {
		return []any{banyan.Raw{Type: e.Type, Schema: max(e.Schema, 1), Data: e.Data}}, nil
	}
	if d.any == nil && d.handlers[e.Type] == nil && d.types.Schema(e.Type) == max(e.Schema, 1) {
		return nil, nil // declared, current, and of no concern: not worth decoding
	}
	return d.types.Decode(e)
}

func (d *Definition) handlePayload(ctx context.Context, b *Batch, payload any, e banyan.Event) error {
	raw, isRaw := payload.(banyan.Raw)
	name := raw.Type
	if !isRaw {
		name, _ = d.types.NameOf(payload)
	}
	if h := d.handlers[name]; h != nil {
		if isRaw {
			return fmt.Errorf("%w: %s has schema version %d and this code reads versions up to %d: deploy newer code, then retry", errNewer, name, raw.Schema, d.types.Schema(name))
		}
		if err := h(ctx, b, payload, e); err != nil {
			return err
		}
	}
	if d.any != nil {
		return d.any(ctx, b, payload, e)
	}
	return nil
}

// Batch is what handlers write with. It is for the call it was given to.
type Batch struct {
	writer   *view.Writer
	muted    bool
	silenced bool              // Effect was called while muted
	missed   []banyan.Position // events of which that is so
	effects  []func(context.Context) error
}

// Writer writes the collections of the generation.
func (b *Batch) Writer() *view.Writer { return b.writer }

// Tx returns the batch's transaction; sqlite.TxOf and postgres.TxOf turn it into
// the technology's own, for tables of the user's.
func (b *Batch) Tx() view.Tx { return b.writer.Tx() }

// Generation returns the number of the generation that is written.
func (b *Batch) Generation() int { return b.writer.Generation() }

// Effect has fn run once the rows of the batch are written and before they are
// committed: an e-mail, a call to another service. It runs when the live
// generation handles the event, so that neither a rebuild nor a switch repeats it.
// It may run again around a crash, or when another event of its batch fails: use
// the event's id as the idempotency key. When it fails, the event has failed. fn
// must not use the database of the batch, which is waiting for it.
//
// The first generation of a new projection is live from its first event: it runs
// the effects of the whole log. While an event is parked in the live generation
// its effects wait with it, and a switch to a generation that has handled it
// without them waits too: Retry its key, or force the switch and lose them.
func (b *Batch) Effect(fn func(ctx context.Context) error) {
	if b.muted {
		b.silenced = true
		return
	}
	b.effects = append(b.effects, fn)
}
