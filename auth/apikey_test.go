package auth_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/auth"
)

// list is a KeySource in memory.
type list struct {
	mu   sync.Mutex
	keys []auth.Key
	err  error
}

func (l *list) Keys(context.Context) ([]auth.Key, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keys, l.err
}

func (l *list) set(keys []auth.Key, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys, l.err = keys, err
}

// keyring returns a key and what checks it.
func keyring(t testing.TB, change func(*auth.Key)) (string, *auth.Keys) {
	t.Helper()
	text, stored, err := auth.GenerateKey("byn", "reports")
	if err != nil {
		t.Fatal(err)
	}
	stored.Tenant, stored.Scopes, stored.Claims = "acme", []string{"orders:read"}, map[string]any{"plan": "gold"}
	if change != nil {
		change(&stored)
	}
	keys, err := auth.NewKeys(&list{keys: []auth.Key{stored}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return text, keys
}

func TestKeyOfAPI(t *testing.T) {
	t.Parallel()
	text, keys := keyring(t, nil)
	id, err := keys.Verify(text)
	if err != nil {
		t.Fatal(err)
	}
	plan, _ := id.Claims.Get("plan")
	if id.Method != auth.MethodKey || id.Subject != "reports" || id.Tenant != "acme" || !id.Scopes.Has("orders:read") || plan != "gold" || id.ClientID != text[4:12] {
		t.Errorf("%+v", id)
	}
	if !strings.HasPrefix(text, "byn_") || len(text) != 51 {
		t.Errorf("a key of %d characters", len(text))
	}
}

func TestWrongAPIKeys(t *testing.T) {
	t.Parallel()
	text, keys := keyring(t, nil)
	other, _, err := auth.GenerateKey("byn", "x")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, _, err := auth.GenerateKey("abc", "x")
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) string {
		c := byte('a')
		if text[i] == c {
			c = 'b'
		}
		return text[:i] + string(c) + text[i+1:]
	}
	for name, c := range map[string]struct {
		text   string
		reason auth.Reason
	}{
		"another":             {other, auth.ReasonUnknownKey},
		"another prefix":      {elsewhere, auth.ReasonMalformed},
		"empty":               {"", auth.ReasonMalformed},
		"the hash":            {auth.HashKey(text), auth.ReasonMalformed},
		"a letter of the id":  {flip(5), auth.ReasonMalformed},
		"a letter of the key": {flip(20), auth.ReasonMalformed},
		"a letter of the sum": {flip(50), auth.ReasonMalformed},
		"cut":                 {text[:50], auth.ReasonMalformed},
		"longer":              {text + "a", auth.ReasonMalformed},
		"capitals":            {strings.ToUpper(text), auth.ReasonMalformed},
		"1 MB":                {strings.Repeat(text, 20_000), auth.ReasonMalformed},
		"with a space":        {" " + text, auth.ReasonMalformed},
		"with a NUL":          {text + "\x00", auth.ReasonMalformed},
	} {
		if _, err := keys.Verify(c.text); reasonOf(err) != c.reason || statusOf(err) != http.StatusUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[auth.Reason]func(*auth.Key){
		auth.ReasonDisabled:   func(k *auth.Key) { k.Disabled = true },
		auth.ReasonExpired:    func(k *auth.Key) { k.Expires = time.Now() },
		auth.ReasonUnknownKey: func(k *auth.Key) { k.Hash = auth.HashKey("another") },
	} {
		text, keys := keyring(t, change)
		if _, err := keys.Verify(text); reasonOf(err) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// OWASP API2: a key in the address ends up in logs.
func TestKeysAreTakenFromTheHeaderOnly(t *testing.T) {
	t.Parallel()
	text, keys := keyring(t, nil)
	g := guard(t, nil, keys)
	for name, r := range map[string]*http.Request{
		"query":        get(t, "/?api_key="+text+"&X-Api-Key="+text+"&key="+text),
		"cookie":       get(t, "/", "Cookie", "X-Api-Key="+text),
		"other header": get(t, "/", "Authorization", "ApiKey "+text),
		"bearer":       get(t, "/", "Authorization", "Bearer "+text),
	} {
		if answer, _ := serve(g.Wrap, r); answer.StatusCode != 401 {
			t.Errorf("%s: %d", name, answer.StatusCode)
		}
	}
	if answer, _ := serve(g.Wrap, get(t, "/", "X-Api-Key", text, "X-Api-Key", text)); answer.StatusCode != 400 {
		t.Errorf("twice: %d", answer.StatusCode)
	}
}

func TestKeysReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text, stored, err := auth.GenerateKey("byn", "reports")
		if err != nil {
			t.Fatal(err)
		}
		source := &list{err: errDown}
		var heard atomic.Int64
		keys, err := auth.NewKeys(source, &auth.KeyOptions{Reloaded: func(context.Context, int, error) { heard.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		check := func(when string, status int) {
			t.Helper()
			if _, err := keys.Verify(text); statusOf(err) != status {
				t.Errorf("%s: %v", when, err)
			}
			if healthy := keys.Health(t.Context()) == nil; healthy != (status != 503) {
				t.Errorf("%s: healthy %v", when, healthy)
			}
		}
		defer run(t, keys)()
		check("before the first list", 503)
		step := func(keys []auth.Key, err error, wait time.Duration) {
			source.set(keys, err)
			time.Sleep(wait)
			synctest.Wait()
		}
		step([]auth.Key{stored}, nil, 10*time.Second)
		check("listed", 200)
		step(nil, errDown, 50*time.Minute)
		check("the source is away", 200)
		step([]auth.Key{stored, stored}, nil, time.Minute)
		check("the list is wrong", 200) // not half of it
		step(nil, errDown, 20*time.Minute)
		check("away for too long", 503)
		step([]auth.Key{}, nil, 10*time.Second)
		check("removed", 401)
		if heard.Load() < 100 {
			t.Errorf("%d reloads heard", heard.Load())
		}
	})
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	text, stored, err := auth.GenerateKey("byn", "reports")
	if err != nil {
		t.Fatal(err)
	}
	one := mustJSON(stored)
	for name, c := range map[string]struct {
		content string
		ok      bool
	}{
		"good":             {`{"keys":[` + one + `]}`, true},
		"no keys":          {`{"keys":[]}`, true},
		"empty":            {``, false},
		"cut":              {`{"keys":[` + one, false},
		"no member":        {`{}`, false},
		"null":             {`null`, false},
		"unknown field":    {`{"keys":[` + strings.Replace(one, `{`, `{"disable":true,`, 1) + `]}`, false},
		"something behind": {`{"keys":[]}{}`, false},
		"id twice":         {`{"keys":[` + one + `,` + one + `]}`, false},
		"the key itself":   {`{"keys":[` + strings.Replace(one, stored.Hash, text, 1) + `]}`, false},
		"no subject":       {`{"keys":[` + strings.Replace(one, `"reports"`, `""`, 1) + `]}`, false},
	} {
		file := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := auth.NewKeys(auth.KeyFile(file), nil)
		if err != nil {
			t.Fatal(err)
		}
		err = keys.Reload(t.Context())
		if (err == nil) != c.ok || (err != nil && !errors.Is(err, banyan.ErrInvalid)) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), text[12:]) {
			t.Errorf("%s: the error holds the key: %v", name, err)
		}
	}
	keys, err := auth.NewKeys(auth.KeyFile(filepath.Join(t.TempDir(), "missing")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(t.Context()); !errors.Is(err, banyan.ErrUnavailable) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestGeneratedKeysDiffer(t *testing.T) {
	t.Parallel()
	texts, ids := map[string]bool{}, map[string]bool{}
	for range 1000 {
		text, stored, err := auth.GenerateKey("byn", "x")
		if err != nil || stored.Hash != auth.HashKey(text) || strings.Contains(mustJSON(stored), text) {
			t.Fatalf("%v %+v", err, stored)
		}
		texts[text], ids[stored.ID] = true, true
	}
	if len(texts) != 1000 || len(ids) < 999 {
		t.Errorf("%d keys, %d ids", len(texts), len(ids))
	}
	for _, prefix := range []string{"", "b", "BYN", "by_n", "abcdefghijkl"} {
		if _, _, err := auth.GenerateKey(prefix, "x"); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}

func TestKeyConfiguration(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]auth.KeyOptions{
		"header Authorization": {Header: "authorization"},
		"header Cookie":        {Header: "cookie"},
		"header with space":    {Header: "X Key"},
		"header underscore":    {Header: "X_Key"},
		"prefix":               {Prefix: "B"},
		"reload":               {Reload: time.Millisecond},
	} {
		if _, err := auth.NewKeys(&list{}, &o); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := auth.NewKeys(nil, nil); !errors.Is(err, banyan.ErrInvalid) {
		t.Error(err)
	}
	if _, err := auth.NewClaims(map[string]any{"f": func() {}}); !errors.Is(err, banyan.ErrInvalid) {
		t.Error(err)
	}
	c, err := auth.NewClaims(map[string]any{"a": 1, "b": []string{"x"}})
	if err != nil || c.Len() != 2 {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"a": int64(1), "b": []any{"x"}}, maps.Collect(c.All())); diff != "" {
		t.Error(diff)
	}
}
