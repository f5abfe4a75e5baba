package acme_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/acme"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config acme.Config
		paths  []string
	}{
		{acme.Config{}, []string{"domains"}},
		{acme.Config{Domains: []string{"shop.example", "xn--bcher-kva.example", "localhost", "A-1.b.", strings.Repeat("a", 63)}}, nil},
		{acme.Config{Domains: []string{
			"", "*.a.example", "10.0.0.1", "::1", "https://a", "a:443", "a/b", "a..b", "-a", "a-", "bücher.example",
			"under_score.a", ".", "a b", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "aa", "a\n", "10.1",
		}}, indices(18)},
		{acme.Config{Domains: []string{"a.example", "A.example.", "b.example", "a.example"}}, []string{"domains[1]", "domains[3]"}},
		{acme.Config{Domains: []string{"a"}, Email: "Ops <ops@a>"}, []string{"email"}},
		{acme.Config{Domains: []string{"a"}, Email: "ops"}, []string{"email"}},
		{acme.Config{Domains: []string{"a"}, Email: "ops@a"}, nil},
		{acme.Config{Domains: []string{"a"}, Directory: "http://ca/dir"}, []string{"directory"}},
		{acme.Config{Domains: []string{"a"}, Directory: "https://u:s3cret@ca/dir"}, []string{"directory"}},
		{acme.Config{Domains: []string{"a"}, Directory: "https://s3cret\n"}, []string{"directory"}},
		{acme.Config{Domains: []string{"a"}, Directory: "https://ca/dir?x=1"}, nil},
		{acme.Config{Domains: []string{"a"}, EABKeyID: "k"}, []string{"eab_key_file"}},
		{acme.Config{Domains: []string{"a"}, EABKeyFile: "f"}, []string{"eab_key_id"}},
	} {
		var paths []string
		for _, m := range c.config.Check() {
			paths = append(paths, m.Path)
			if strings.Contains(m.Text, "s3cret") {
				t.Errorf("%s: %s: a secret", m.Path, m.Text)
			}
		}
		if diff := cmp.Diff(c.paths, paths); diff != "" {
			t.Errorf("%+v: want - and got +:\n%s", c.config, diff)
		}
		_, err := acme.New(&acme.Config{Domains: c.config.Domains, Email: c.config.Email, Directory: c.config.Directory, EABKeyID: c.config.EABKeyID, EABKeyFile: c.config.EABKeyFile, Storage: t.TempDir()}, nil)
		if errors.Is(err, banyan.ErrInvalid) != (len(c.paths) > 0) {
			t.Errorf("%+v: New returned %v", c.config, err)
		}
	}
}

func indices(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("domains[%d]", i))
	}
	return all
}

func TestYAML(t *testing.T) {
	t.Parallel()
	const text = "domains: [a.example]\nemail: e@a\ndirectory: https://ca/\nstorage: s\nca_root: r\neab_key_id: k\neab_key_file: f\n"
	var got acme.Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	want := acme.Config{Domains: []string{"a.example"}, Email: "e@a", Directory: "https://ca/", Storage: "s", CARoot: "r", EABKeyID: "k", EABKeyFile: "f"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Files that are missing, or are not what they should be; no part of a key is told.
func TestNewReadsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("s3cret !!"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]acme.Config{
		"no root":      {CARoot: filepath.Join(dir, "none")},
		"bad root":     {CARoot: bad},
		"no key":       {EABKeyID: "k", EABKeyFile: filepath.Join(dir, "none")},
		"bad key":      {EABKeyID: "k", EABKeyFile: bad},
		"bad storage":  {Storage: filepath.Join(bad, "x")},
		"file storage": {Storage: bad},
	} {
		c.Domains = []string{"a.example"}
		if c.Storage == "" {
			c.Storage = filepath.Join(dir, "acme")
		}
		_, err := acme.New(&c, nil)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want an error without the file's text", name, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "acme")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the storage: %v, %v; want mode 0700", info, err)
	}
}

// What passes can be a server name (RFC 6066 §3), and spellings of one name are one.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"shop.example", "A.b.", "*.a", "10.1", "a..b", "xn--a", "a\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		c := acme.Config{Domains: []string{name}}
		if len(c.Check()) > 0 {
			return
		}
		if len(name) > 254 || strings.ContainsAny(name, " /:@*\\\x00\n_") || strings.HasPrefix(name, ".") || strings.Contains(name, "..") {
			t.Errorf("%q passes", name)
		}
		c.Domains = append(c.Domains, strings.ToUpper(name))
		if len(c.Check()) != 1 {
			t.Errorf("%q and its capitals are two names", name)
		}
	})
}
