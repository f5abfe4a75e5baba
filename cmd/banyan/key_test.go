package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/auth"
)

// checker reads a file of keys as a gateway does.
func checker(t *testing.T, file, prefix string) *auth.Keys {
	t.Helper()
	keys, err := auth.NewKeys(auth.KeyFile(file), &auth.KeyOptions{Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return keys
}

// A key that is made lets its owner in until it is disabled, and is written
// nowhere.
func TestKeys(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.json")
	made := command(t, nil, "key", "new", file, "--subject", "partner-a", "--tenant", "acme", "--scope", "orders", "--scope", "stock", "--expires", "2999-12-31")
	text := strings.TrimSuffix(made.stdout, "\n")
	if made.code != exitDone || !regexp.MustCompile(`^byn_[a-z2-7]{40,}$`).MatchString(text) || strings.Contains(made.stderr, text) {
		t.Fatalf("%+v", made)
	}
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others can read it", info.Mode(), err)
	}
	if err := os.Chmod(file, 0o640); err != nil { // a gateway that is another user reads it
		t.Fatal(err)
	}
	other := command(t, nil, "key", "new", file, "--subject", "partner-b")
	written, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(written), text) || strings.Contains(string(written), strings.TrimSpace(other.stdout)) {
		t.Errorf("%s, %v: it holds a key", written, err)
	}
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v: the permissions changed", info.Mode(), err)
	}
	keys := checker(t, file, "byn")
	id, err := keys.Verify(text)
	if err != nil || id.Subject != "partner-a" || id.Tenant != "acme" || id.Scopes != "orders stock" {
		t.Errorf("%+v, %v", id, err)
	}
	if id, err := keys.Verify(strings.TrimSpace(other.stdout)); err != nil || id.Subject != "partner-b" {
		t.Errorf("%+v, %v", id, err)
	}

	listed := command(t, nil, "key", "list", file)
	row := regexp.MustCompile(`(?m)^(\S+) +partner-a +acme +orders stock +2999-12-31T23:59:59Z +good$`).FindStringSubmatch(listed.stdout)
	if row == nil {
		t.Fatalf("%+v", listed)
	}
	if r := command(t, nil, "key", "disable", file, row[1]); r.code != exitDone {
		t.Fatalf("%+v", r)
	}
	if listed := command(t, nil, "key", "list", file); !regexp.MustCompile(row[1]+` .* disabled\n`).MatchString(listed.stdout) || strings.Count(listed.stdout, "good") != 1 {
		t.Errorf("%+v", listed)
	}
	keys = checker(t, file, "byn")
	if _, err := keys.Verify(text); err == nil {
		t.Error("a disabled key is taken")
	}
	if _, err := keys.Verify(strings.TrimSpace(other.stdout)); err != nil {
		t.Errorf("the other key: %v", err)
	}
}

// What is wrong is said, and changes nothing.
func TestWrongKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, broken, locked := filepath.Join(dir, "good.json"), filepath.Join(dir, "broken.json"), filepath.Join(dir, "locked.json")
	command(t, nil, "key", "new", good, "--subject", "a")
	for name, text := range map[string]string{broken: `{"keys": [{"id": "x", "disable": true}]}`, locked + ".new": ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := textOf(t, good) + textOf(t, broken)
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"key new", exitUsage, "FILE is missing"},
		{"key new " + good, exitUsage, "--subject is missing"},
		{"key new " + good + " --subject a --prefix X", exitUsage, "2 to 10 small letters"},
		{"key new " + good + " --subject a --expires 2009-01-01", exitUsage, "not in the future"},
		{"key new " + good + " --subject a --expires soon", exitUsage, "not a time"},
		{"key new " + broken + " --subject a", exitFailed, "line 1"},
		{"key new " + locked + " --subject a", exitFailed, "another process"},
		{"key new " + filepath.Join(dir, "none", "keys.json") + " --subject a", exitFailed, "none"},
		{"key list " + filepath.Join(dir, "none.json"), exitFailed, "none.json"},
		{"key disable " + good, exitUsage, "ID is missing"},
		{"key disable " + good + " nobody", exitFailed, "banyan key list"},
	} {
		r := command(t, nil, strings.Fields(c.args)...)
		if r.code != c.code || !strings.Contains(r.stderr, c.says) || r.stdout != "" {
			t.Errorf("%s: %+v, want exit code %d and %q", c.args, r, c.code, c.says)
		}
	}
	if after := textOf(t, good) + textOf(t, broken); after != before {
		t.Errorf("a file changed from %s to %s", before, after)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new")); len(left) != 1 {
		t.Errorf("drafts are left: %v", left)
	}
}

func textOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
