package compress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/http1"
)

// The encodings that this package knows.
const (
	Zstd = "zstd"
	Gzip = "gzip"
)

// Config of a Policy. The zero value of each field is its default.
type Config struct {
	// Encodings that clients may get, the one to prefer first. Default: zstd, gzip.
	Encodings []string `yaml:"encodings"`
	// Level is "fast", "default" or "best". Best takes about three times as long
	// as default.
	Level string `yaml:"level"`
	// Types that are compressed: "application/json", "text/*" or "*+json". They
	// replace the default, which is text except event streams, JSON, XML,
	// JavaScript, SVG, WebAssembly and fonts that are not compressed already.
	Types []string `yaml:"types"`
	// MinSize is what an answer has to have, in bytes. Default: 1024.
	MinSize int `yaml:"min_size"`
	// SkipCookies leaves answers to requests with a Cookie, and answers with
	// Set-Cookie, as they are. See BREACH above.
	SkipCookies bool `yaml:"skip_cookies"`
	// Requests guards what clients send. Default: their bodies pass untouched.
	Requests *Requests `yaml:"requests"`
}

// Requests says which Content-Encoding a request may have.
type Requests struct {
	// Allow names the encodings; others are answered 415. Default: gzip and zstd
	// with Decompress, none without.
	Allow []string `yaml:"allow"`
	// Decompress gives the handler plain bytes; only gzip and zstd may be allowed
	// then. Signatures over the body of the request (RFC 9421) do not hold any more.
	Decompress bool `yaml:"decompress"`
	// MaxBytes is how long a decompressed body may be. Default: 8 MiB.
	MaxBytes int64 `yaml:"max_bytes"`
	// MaxRatio is how many bytes may come out of one, once a body has more than 1
	// MiB. Default: 100.
	MaxRatio int64 `yaml:"max_ratio"`
}

const (
	defaultMinSize  = 1 << 10
	defaultMaxBytes = 8 << 20
	defaultMaxRatio = 100
	// freeBytes come out of a body before its ratio counts: short ones can be
	// very regular.
	freeBytes = 1 << 20
)

func defaultTypes() []string {
	return []string{
		"text/*", "*+json", "*+xml", "*+text", "*+yaml", "application/json", "application/xml", "application/javascript", "application/x-javascript",
		"application/ecmascript", "application/yaml", "application/toml", "application/sql", "application/graphql", "application/wasm", "application/x-ndjson", "application/jsonl",
		"application/rtf", "application/vnd.ms-fontobject", "font/ttf", "font/otf", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon",
	}
}

// Check reports every mistake.
func (c *Config) Check() error {
	var found []string
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for i, name := range c.Encodings {
		if name != Gzip && name != Zstd {
			add("encodings: %q is not gzip or zstd", name)
		}
		if slices.Contains(c.Encodings[:i], name) {
			add("encodings: %q stands there twice", name)
		}
	}
	if _, ok := levels(c.Level); !ok {
		add("level: %q is not fast, default or best", c.Level)
	}
	for _, t := range c.Types {
		if !validType(t) {
			add(`types: %q is not like "text/plain", "text/*" or "*+json"`, t)
		}
	}
	if c.MinSize < 0 {
		add("min_size: it is negative")
	}
	if c.Requests != nil {
		c.Requests.check(add)
	}
	if len(found) > 0 {
		return fmt.Errorf("compress: config: %w: %s", banyan.ErrInvalid, strings.Join(found, "; "))
	}
	return nil
}

func (r *Requests) check(add func(string, ...any)) {
	for _, name := range r.Allow {
		switch {
		case !http1.IsToken(name) || name != strings.ToLower(name) || name == "identity":
			add("requests.allow: %q is not a content coding", name)
		case r.Decompress && name != Gzip && name != Zstd:
			add("requests.allow: %q cannot be decompressed here", name)
		}
	}
	if r.MaxBytes < 0 || r.MaxRatio < 0 {
		add("requests: a limit is negative")
	}
	if !r.Decompress && (r.MaxBytes != 0 || r.MaxRatio != 0) {
		add("requests: max_bytes and max_ratio need decompress")
	}
}

// defaults returns a copy with every field set.
func (c Config) defaults() Config {
	if len(c.Encodings) == 0 {
		c.Encodings = []string{Zstd, Gzip}
	}
	if c.Types == nil {
		c.Types = defaultTypes()
	}
	c.Types = slices.Clone(c.Types)
	for i, t := range c.Types {
		c.Types[i] = strings.ToLower(t)
	}
	if c.MinSize == 0 {
		c.MinSize = defaultMinSize
	}
	if c.Requests == nil {
		return c
	}
	r := *c.Requests
	if r.Allow == nil && r.Decompress {
		r.Allow = []string{Gzip, Zstd}
	}
	if r.MaxBytes == 0 {
		r.MaxBytes = defaultMaxBytes
	}
	if r.MaxRatio == 0 {
		r.MaxRatio = defaultMaxRatio
	}
	c.Requests = &r
	return c
}

// validType reports whether t is a type, or one with a * for all that begin or
// end like it.
func validType(t string) bool {
	if suffix, ok := strings.CutPrefix(t, "*+"); ok {
		return http1.IsToken(suffix)
	}
	kind, sub, ok := strings.Cut(t, "/")
	return ok && http1.IsToken(kind) && http1.IsToken(sub) && !strings.Contains(kind, "*") && (sub == "*" || !strings.Contains(sub, "*"))
}
