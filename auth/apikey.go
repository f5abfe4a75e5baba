package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
)

// An API key is prefix_ + id + secret + checksum in base32: 40 public bits to
// find it by, 160 secret bits, and a CRC-32 that tells a mistyped key, and a
// scanner of repositories a real one, without asking anybody.
const (
	idBytes, secretBytes        = 5, 20
	idChars, secretChars, crcCh = 8, 32, 7
	keyChars                    = idChars + secretChars + crcCh
)

func keyEncoding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// Key is what is stored of an API key: never the key, only its hash.
//
// The hash is one SHA-256, not bcrypt or argon2. Those make guessing slow where
// the secret is a password with perhaps 30 bits; here it has 160 random bits,
// which cannot be guessed at any speed, and a slow hash at every request would
// only hand attackers a way to keep the gateway busy.
type Key struct {
	// ID is the public part, the eight characters after the prefix.
	ID string `json:"id"`
	// Hash is the SHA-256 of the whole key, in hexadecimal.
	Hash string `json:"sha256"`
	// Subject is whose key it is.
	Subject string `json:"subject"`
	// Tenant is the customer that the subject belongs to.
	Tenant string `json:"tenant,omitempty"`
	// Scopes that the key grants.
	Scopes []string `json:"scopes,omitempty"`
	// Claims for conditions and headers.
	Claims map[string]any `json:"claims,omitempty"`
	// Disabled keys are refused.
	Disabled bool `json:"disabled,omitempty"`
	// Expires: from then on it is refused. Zero: it does not expire.
	Expires time.Time `json:"expires,omitzero"`
}

// GenerateKey makes a key for a subject. The text is for its owner, is shown
// once, and cannot be had again; the Key is for the list.
func GenerateKey(prefix, subject string) (text string, stored Key, err error) {
	if !validPrefix(prefix) || !plain(subject) {
		return "", Key{}, fmt.Errorf("auth: generate key: %w: prefix or subject", banyan.ErrInvalid)
	}
	random := make([]byte, idBytes+secretBytes)
	_, _ = rand.Read(random) // never fails: it crashes the program instead
	id := keyEncoding().EncodeToString(random[:idBytes])
	text = prefix + "_" + id + keyEncoding().EncodeToString(random[idBytes:])
	text += checksum(text)
	return text, Key{ID: id, Hash: HashKey(text), Subject: subject}, nil
}

// HashKey is the Hash of a key's text.
func HashKey(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func checksum(text string) string {
	return keyEncoding().EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text))))
}

// validPrefix: 2 to 10 small letters.
func validPrefix(prefix string) bool {
	return len(prefix) >= 2 && len(prefix) <= 10 && strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz") == ""
}

// keyID returns the id in the text of a key, if it is one.
func keyID(text, prefix string) (string, bool) {
	if len(text) != len(prefix)+1+keyChars || !strings.HasPrefix(text, prefix) || text[len(prefix)] != '_' {
		return "", false
	}
	body, sum := text[:len(text)-crcCh], text[len(text)-crcCh:]
	return body[len(prefix)+1:][:idChars], checksum(body) == sum
}

// KeySource lists the keys. It is asked again and again, and may do I/O.
type KeySource interface {
	Keys(ctx context.Context) ([]Key, error)
}

// KeyOptions are the options of Keys.
type KeyOptions struct {
	// Header that holds the key. Not Authorization. Default: X-Api-Key.
	Header string
	// Prefix of the keys, 2 to 10 small letters. Default: "byn".
	Prefix string
	// Reload is how often the source is asked, at least 1 s, and so how long a
	// key that was removed or disabled may be used. Default: 10 s.
	Reload time.Duration
	// StaleFor is how long, beyond Reload, the last list is used when the source
	// fails. Afterwards requests are answered with 503. Default: 1 h.
	StaleFor time.Duration
	// Reloaded hears of each reading of the source: the number of keys, or why
	// the list before stays. Default: nothing does.
	Reloaded func(ctx context.Context, keys int, err error)
}

func (o *KeyOptions) withDefaults() (KeyOptions, error) {
	var out KeyOptions
	if o != nil {
		out = *o
	}
	defaultTo(&out.Header, "X-Api-Key")
	defaultTo(&out.Prefix, "byn")
	defaultTo(&out.Reload, 10*time.Second)
	defaultTo(&out.StaleFor, time.Hour)
	header, ok := canonicalHeader(out.Header)
	out.Header = header
	switch {
	case !ok || header == headerAuthorization || header == "Cookie":
		return out, errors.New("the header cannot hold a key")
	case !validPrefix(out.Prefix):
		return out, errors.New("the prefix is not 2 to 10 small letters")
	case out.Reload < time.Second || out.StaleFor < 0:
		return out, errors.New("the reload interval is less than 1 s or StaleFor negative")
	}
	return out, nil
}

// Keys checks API keys against a list that it reloads.
type Keys struct {
	source  KeySource
	opts    KeyOptions
	list    atomic.Pointer[keyList]
	running atomic.Bool
	loading chan struct{} // holds one value while a Reload is under way
}

// keyList is a list as it was read, immutable.
type keyList struct {
	byID map[string]*listed
	read time.Time
}

type listed struct {
	hash     [sha256.Size]byte
	id       Identity
	disabled bool
}

// NewKeys makes a checker of API keys. It does no I/O: until Reload or Run has
// read the list, requests are answered with 503.
func NewKeys(source KeySource, o *KeyOptions) (*Keys, error) {
	opts, err := o.withDefaults()
	if err == nil && source == nil {
		err = errors.New("no source")
	}
	if err != nil {
		return nil, fmt.Errorf("auth: new keys: %w: %w", banyan.ErrInvalid, err)
	}
	return &Keys{source: source, opts: opts, loading: make(chan struct{}, 1)}, nil
}

// Run reads the source now and then every Reload until ctx ends. A second Run at
// the same time is an error of kind banyan.ErrExists.
func (k *Keys) Run(ctx context.Context) error {
	if !k.running.CompareAndSwap(false, true) {
		return fmt.Errorf("auth: run keys: %w: they run", banyan.ErrExists)
	}
	defer k.running.Store(false)
	for ctx.Err() == nil {
		_ = k.Reload(ctx) // heard by the hook, shown by Health
		select {
		case <-ctx.Done():
		case <-time.After(k.opts.Reload):
		}
	}
	return nil
}

// Reload reads the source once. On failure, which includes a list with one bad
// entry, the list before stays.
func (k *Keys) Reload(ctx context.Context) error {
	select {
	case k.loading <- struct{}{}:
		defer func() { <-k.loading }()
	case <-ctx.Done():
		return fmt.Errorf("auth: reload keys: %w", ctx.Err())
	}
	began := time.Now()
	list, err := k.read(ctx)
	if err != nil {
		err = fmt.Errorf("auth: reload keys: %w", err)
	} else {
		list.read = began
		k.list.Store(list)
	}
	if k.opts.Reloaded != nil {
		n := 0
		if list != nil {
			n = len(list.byID)
		}
		k.opts.Reloaded(ctx, n, err)
	}
	return err
}

func (k *Keys) read(ctx context.Context) (*keyList, error) {
	all, err := k.source.Keys(ctx)
	if err != nil {
		return nil, err
	}
	list := &keyList{byID: make(map[string]*listed, len(all))}
	for i, one := range all {
		entry, err := one.listed()
		if err == nil && list.byID[one.ID] != nil {
			err = errors.New("its id is there twice")
		}
		if err != nil {
			// By number: who pastes a key into the wrong field must not read it in
			// a log.
			return nil, fmt.Errorf("key %d: %w: %w", i+1, banyan.ErrInvalid, err)
		}
		list.byID[one.ID] = entry
	}
	return list, nil
}

func (k Key) listed() (*listed, error) {
	raw, err := hex.DecodeString(k.Hash)
	if err != nil || len(raw) != sha256.Size {
		return nil, errors.New("sha256 is not 64 hexadecimal digits")
	}
	if len(k.ID) != idChars || !plain(k.Subject) {
		return nil, errors.New("id is not 8 characters or subject is missing")
	}
	scopes, ok := scopesOf(k.Scopes)
	if !ok {
		return nil, errors.New("a scope has a character that no scope may have")
	}
	claims, err := NewClaims(k.Claims)
	if err != nil && k.Claims != nil {
		return nil, errors.New("claims are nested too deep or hold what JSON cannot")
	}
	return &listed{hash: [sha256.Size]byte(raw), disabled: k.Disabled, id: Identity{
		Method: MethodKey, Subject: k.Subject, ClientID: k.ID, Tenant: k.Tenant,
		Scopes: scopes, Claims: claims, Expires: k.Expires,
	}}, nil
}

// current returns the list while it may be believed.
func (k *Keys) current() (*keyList, *Refusal) {
	list := k.list.Load()
	switch {
	case list == nil:
		return nil, unavailable(MethodKey, errors.New("no list was read yet"))
	case time.Since(list.read) > k.opts.Reload+k.opts.StaleFor:
		return nil, unavailable(MethodKey, errors.New("the list is too old"))
	}
	return list, nil
}

// Health is a check for /health: an error of kind banyan.ErrUnavailable when keys
// cannot be checked.
func (k *Keys) Health(context.Context) error {
	if _, refusal := k.current(); refusal != nil {
		return refusal
	}
	return nil
}

// Carrier implements Authenticator.
func (k *Keys) Carrier() Carrier {
	return Carrier{Method: MethodKey, Challenge: schemeKey, Header: k.opts.Header}
}

// Present implements Authenticator. A key in the query or a cookie is none.
func (k *Keys) Present(r *http.Request) bool { return len(r.Header[k.opts.Header]) > 0 }

// Authenticate implements Authenticator.
func (k *Keys) Authenticate(r *http.Request) (Identity, error) {
	return k.Verify(r.Header.Get(k.opts.Header))
}

// Verify checks the text of a key. The error is a *Refusal.
func (k *Keys) Verify(text string) (Identity, error) {
	list, refusal := k.current()
	if refusal != nil {
		return Identity{}, refusal
	}
	id, ok := keyID(text, k.opts.Prefix)
	if !ok {
		return Identity{}, refuse(MethodKey, ReasonMalformed)
	}
	entry, known := list.byID[id] // the id is public
	var want [sha256.Size]byte
	if known {
		want = entry.hash
	}
	// Compared also where there is no such id, so that both take equally long,
	// and before anything else of the entry is looked at.
	have := sha256.Sum256([]byte(text))
	same := subtle.ConstantTimeCompare(have[:], want[:]) == 1
	switch {
	case !same || !known:
		return Identity{}, refuse(MethodKey, ReasonUnknownKey)
	case entry.disabled:
		return Identity{}, refuse(MethodKey, ReasonDisabled)
	case !entry.id.Expires.IsZero() && !time.Now().Before(entry.id.Expires):
		return Identity{}, refuse(MethodKey, ReasonExpired)
	}
	return entry.id, nil
}

// Interface guard.
var _ Authenticator = (*Keys)(nil)
