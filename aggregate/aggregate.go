package aggregate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// State is what a stream of events adds up to. Apply returns the state after an
// event; it must not change its receiver (copy maps and slices before changing
// them) and must return the receiver for events it does not care about. event is
// a value of a type declared in the registry, or a banyan.Raw.
type State[S any] interface{ Apply(event any) S }

// Decide says which events shall happen in a state, or why they shall not. It
// must be pure: it may run several times for one command. No events and no error
// means that there is nothing to do.
type Decide[S any] func(S) ([]any, error)

// Options of an Aggregate. The zero value is good for streams of some hundred
// events.
type Options[S any] struct {
	// Initial is the state of a stream without events. Default: the zero value.
	Initial S
	// Snapshot says when the state is kept. Default: never.
	Snapshot Snapshot
	// Retries is how often a decision is made again after a conflict. Default:
	// 10. Negative: never.
	Retries int
	// IgnoreUnknown lets Do decide although the stream has events that this
	// program does not know. Set it where such events cannot matter to any
	// decision. Default: Do refuses.
	IgnoreUnknown bool
	// Clock gives the Time of events whose command has none. Default: the
	// store's clock.
	Clock func() time.Time
	// Logger hears of snapshots that could not be kept. Default: nothing is
	// logged.
	Logger *slog.Logger
}

// Snapshot is a policy. The state is encoded as JSON: New refuses it when S has
// fields that JSON would lose.
type Snapshot struct {
	// Every is how many events a stream grows before its state is kept again.
	// Default: 0, never.
	Every int
	// Schema is the version of the state's shape and of what Apply makes of the
	// events. Raise it when either changes; older snapshots are then ignored.
	// Default: 1.
	Schema int
}

func (o *Options[S]) defaults() {
	switch {
	case o.Retries == 0:
		o.Retries = 10
	case o.Retries < 0:
		o.Retries = 0
	}
	if o.Snapshot.Schema == 0 {
		o.Snapshot.Schema = 1
	}
	if o.Clock == nil {
		o.Clock = func() time.Time { return time.Time{} } // the store fills it in
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func (o *Options[S]) check(p store.Promises) error {
	switch {
	case o.Snapshot.Every < 0 || o.Snapshot.Schema < 0:
		return fmt.Errorf("%w: Snapshot.Every and Snapshot.Schema must not be negative", banyan.ErrInvalid)
	case o.Snapshot.Every > 0 && !p.Snapshots:
		return fmt.Errorf("%w: back end %s keeps no snapshots; set Snapshot.Every to 0", banyan.ErrInvalid, p.Backend)
	case o.Snapshot.Every > 0:
		return checkJSON[S]()
	}
	return nil
}

// Aggregate makes decisions on the streams of one category.
type Aggregate[S State[S]] struct {
	store       *store.Store
	category    string
	types       *banyan.Types
	opts        Options[S]
	fingerprint string // of types, see snapshot
}

// New returns an aggregate whose streams are named category-id. A category has
// no "-". The caller keeps the store and closes it.
func New[S State[S]](st *store.Store, category string, types *banyan.Types, o *Options[S]) (*Aggregate[S], error) {
	a := &Aggregate[S]{store: st, category: category, types: types}
	if o != nil {
		a.opts = *o
	}
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("aggregate: new %s: %w", category, err)
	}
	a.opts.defaults()
	a.fingerprint = fingerprint(types)
	return a, nil
}

func (a *Aggregate[S]) check() error {
	switch {
	case a.store == nil || a.types == nil:
		return fmt.Errorf("%w: a store and types are needed", banyan.ErrInvalid)
	case a.category == "" || strings.Contains(a.category, "-"):
		return fmt.Errorf("%w: category %q: it must have a name without \"-\", which ends the category in a stream's name", banyan.ErrInvalid, a.category)
	case a.types.Err() != nil:
		return a.types.Err()
	}
	return a.opts.check(a.store.Promises())
}

// fingerprint changes with every event type and schema version that is declared.
func fingerprint(types *banyan.Types) string {
	h := sha256.New()
	for _, name := range types.Names() {
		fmt.Fprintf(h, "%q %d\n", name, types.Schema(name))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (a *Aggregate[S]) stream(id string) (string, error) {
	if id == "" {
		return "", fmt.Errorf("aggregate: %s: %w: the id is empty", a.category, banyan.ErrInvalid)
	}
	return a.category + "-" + id, nil
}
