package compose

import (
	"time"
)

// Config says of what an answer is made.
type Config struct {
	// Timeout is the deadline that all parts share; default 10 s.
	Timeout time.Duration `yaml:"timeout"`
	// Parallel is how many calls of one request may be under way at once; default
	// 8.
	Parallel int `yaml:"parallel"`
	// MaxCalls is how many calls one request may make in all; default 100. A part
	// that needs more fails.
	MaxCalls int `yaml:"max_calls"`
	// MaxBytes is how large the answer may be, and also all that the services
	// answer together; default 8 MiB.
	MaxBytes int64 `yaml:"max_bytes"`
	// Parts by name.
	Parts map[string]Part `yaml:"parts"`
}

// Part is one call, or with ForEach one for each item of another part's list.
type Part struct {
	// To names the upstream.
	To string `yaml:"to"`
	// Get is the path and query, with values in braces; see the package.
	Get string `yaml:"get"`
	// Headers of the client that the service may see; default: all that are not
	// about the connection, the body or the client's own copy of the answer. Those
	// that say who somebody is, as the gateway's auth.forward sets them, are among
	// them: a list has to name them.
	Headers []string `yaml:"headers"`
	// Timeout of the part alone, from when it has what it needs; default: the
	// shared one.
	Timeout time.Duration `yaml:"timeout"`
	// MaxBytes is how large the answer to one call may be; default 1 MiB.
	MaxBytes int64 `yaml:"max_bytes"`

	// Optional parts are null when they fail.
	Optional bool `yaml:"optional"`
	// Default is the JSON text that takes the place of a part that fails, as
	// written here; it makes the part optional.
	Default string `yaml:"default"`
	// Empty says that it is no failure if there is no such thing (404, 410), or if
	// a value that it needs from another part is null or absent: the part is null,
	// and so is what needs it.
	Empty bool `yaml:"empty"`

	// Select names the fields to keep, such as "address.city"; default: all. Lists
	// are passed through element by element. Where there is something else than an
	// object, null is kept in its place.
	Select []string `yaml:"select"`
	// Rename gives fields another name: from the path in the answer, such as
	// "items.unit_price", to a name. A field that has that name is dropped.
	Rename map[string]string `yaml:"rename"`
	// Limit keeps the first so many elements of lists; the path "." is the answer
	// itself.
	Limit map[string]int `yaml:"limit"`
	// As is the part's key in the answer; default: its name. "-" leaves it out. "."
	// puts its fields into the answer itself, which needs a Select, so that a
	// service's new field cannot replace another part. With ForEach it is the key in
	// each item, and "." puts it in the item's place.
	As string `yaml:"as"`

	// ForEach is the path of a list in another part's answer, such as
	// "cart.items", with at most 10,000 items. The part is asked for once for each
	// item, equal calls once.
	ForEach string `yaml:"for_each"`
	// Batch asks for many items with one call.
	Batch *Batch `yaml:"batch"`
}

// Batch is how many items are asked for with one call. Get has to have one value of
// the item, as a query parameter of its own: it becomes the list of the values, each
// once.
type Batch struct {
	// Max values are in one call; default 50.
	Max int `yaml:"max"`
	// Separator of the values; default ",". "&" repeats the parameter. A value that
	// holds the separator is refused.
	Separator string `yaml:"separator"`
	// List is the path of the list in the answer; default: the answer itself.
	List string `yaml:"list"`
	// Key is the path, in each element, of the value that it was asked for by. They
	// are compared as text: 1 is "1" and not 1.0.
	Key string `yaml:"key"`
}

// Mistake is one thing that is wrong with a Config.
type Mistake struct {
	// Path is where, such as "parts.cart.get".
	Path string
	// Text is what is wrong, and what to do.
	Text string
}

// Check returns everything that is wrong with a configuration, in a fixed order.
func (c *Config) Check() []Mistake {
	_, found := c.compile()
	return found
}

// Wildcards returns the names of the path wildcards that parts use, sorted. The
// pattern of the route has to have them.
func (c *Config) Wildcards() []string {
	p, _ := c.compile()
	return p.sources(fromPath)
}

const (
	defaultTimeout   = 10 * time.Second
	defaultParallel  = 8
	defaultMaxCalls  = 100
	defaultMaxBytes  = 8 << 20
	defaultPartBytes = 1 << 20
	defaultBatch     = 50
)

func or[T comparable](given, otherwise T) T {
	var zero T
	if given == zero {
		return otherwise
	}
	return given
}
