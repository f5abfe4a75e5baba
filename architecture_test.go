package banyan_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/banyanhq/banyan"

// rule says what packages of one level may import from this module, besides the
// standard library, and from outside it.
type rule struct {
	packages []string // folders; "x/..." includes everything below
	own      []string // allowed from this module
	outside  []string // allowed prefixes from other modules
	reason   string
}

// anywhere is an allowance that matches every import.
const anywhere = "*"

var rules = []rule{
	{[]string{"."}, nil, nil, "the vocabulary is imported by everything and so may import nothing"},
	{[]string{"store", "view"}, []string{"."}, nil, "contracts know the vocabulary only, never each other, so that a user of one pays for one"},
	{[]string{"aggregate"}, []string{".", "store"}, nil, "engines know contracts, never a back end and never one another"},
	{[]string{"projection"}, []string{".", "store", "view"}, nil, "engines know contracts, never a back end and never one another"},
	{[]string{"mem"}, []string{".", "store", "view"}, nil, "an import of store and mem must pull in the standard library only"},
	{[]string{"sqlite"}, []string{".", "store", "view"}, []string{"modernc.org/sqlite"}, "a back end knows contracts and its own driver"},
	{[]string{"postgres"}, []string{".", "store", "view", "gateway/limit"}, []string{"github.com/jackc/pgx/v5"}, "a back end knows contracts and its own driver"},
	{[]string{"store/storetest"}, []string{".", "store"}, nil, "test kits import testing and their contract, so that they weigh nothing in a user's module"},
	{[]string{"view/viewtest"}, []string{".", "view"}, nil, "test kits import testing and their contract, so that they weigh nothing in a user's module"},
	{[]string{"gateway/limit/limittest"}, []string{".", "gateway/limit"}, nil, "test kits import testing and their contract, so that they weigh nothing in a user's module"},
	{[]string{"banyantest"}, []string{".", "store", "view", "mem", "aggregate", "projection"}, nil, "the users' test kit runs on mem and weighs nothing"},
	{[]string{"resilience"}, []string{"."}, []string{"github.com/failsafe-go/failsafe-go"}, "edge packages know the vocabulary only; they meet through net/http"},
	{[]string{"auth"}, []string{"."}, []string{"github.com/go-jose/go-jose/v4"}, "edge packages know the vocabulary only; they meet through net/http"},
	{[]string{"auth/condition"}, []string{".", "auth"}, []string{"github.com/google/cel-go"}, "apart from auth, so that who has no conditions does not pay for CEL"},
	{[]string{"gateway/limit"}, []string{"."}, nil, "a policy is an http.Handler that a program can use without the gateway"},
	{[]string{"gateway/limit/redislimit"}, []string{".", "gateway/limit"}, []string{"github.com/redis/go-redis/v9"}, "a back end knows contracts and its own driver"},
	{[]string{"gateway/acme"}, []string{"."}, []string{"github.com/caddyserver/certmagic", "github.com/mholt/acmez/v3", "go.uber.org/zap"}, "apart from gateway, so that who has certificates in files does not pay for ACME"},
	{[]string{"gateway/browser", "gateway/transform"}, []string{".", "internal/http1"}, nil, "a policy is an http.Handler that a program can use without the gateway"},
	{[]string{"gateway/compress"}, []string{".", "internal/http1"}, []string{"github.com/klauspost/compress"}, "a policy is an http.Handler that a program can use without the gateway"},
	{[]string{"gateway/compose"}, []string{".", "internal/http1", "internal/nearest"}, nil, "a policy is an http.Handler that a program can use without the gateway"},
	{[]string{"gateway/cache"}, []string{"."}, nil, "a policy is an http.Handler that a program can use without the gateway"},
	{[]string{"openapi"}, []string{"."}, []string{"github.com/goccy/go-yaml", "github.com/santhosh-tekuri/jsonschema/v6"}, "a contract is checked without the gateway; schemas are compiled by a library, requests are read here"},
	{[]string{"gateway"}, []string{".", "internal/http1", "internal/nearest", "resilience", "auth", "auth/condition", "gateway/browser", "gateway/cache", "gateway/compose", "gateway/compress", "gateway/limit", "gateway/transform", "openapi"}, []string{"github.com/goccy/go-yaml"}, "the gateway puts the edge together; the edge knows the vocabulary, never the log: it stands in front of applications that have none"},
	{[]string{"app"}, []string{".", "store", "view", "projection", "mem", "sqlite", "postgres", "internal/nearest"}, []string{anywhere}, "only app and the binary name back ends"},
	{[]string{"example/..."}, []string{".", "store", "view", "aggregate", "projection", "resilience", "app", "banyantest", "example/..."}, []string{anywhere}, "the example uses what a user can use: public packages only"},
	{[]string{"bench"}, []string{".", "store", "sqlite", "postgres"}, []string{"golang.org/x/sync", "modernc.org/sqlite", "github.com/jackc/pgx/v5"}, "a benchmark puts the store and the bare driver side by side, and nothing else"},
	{[]string{"cmd/..."}, []string{anywhere}, []string{anywhere}, "the binary puts everything together"},
	{[]string{"internal/..."}, []string{anywhere}, []string{anywhere}, "support for tests and commands"},
}

func TestImports(t *testing.T) {
	t.Parallel()
	used := make([]bool, len(rules))
	for _, p := range parsePackages(t) {
		i := ruleFor(p.dir)
		if i < 0 {
			t.Errorf("package %s has no rule: say in architecture_test.go what it may import, and why", p.dir)
			continue
		}
		used[i] = true
		for _, imported := range p.imports {
			if !allowed(rules[i], p.dir, imported) {
				t.Errorf("package %s imports %s: %s", p.dir, imported, rules[i].reason)
			}
		}
	}
	for i, r := range rules {
		if !used[i] {
			t.Errorf("the rule for %v matches no package: delete it", r.packages)
		}
	}
}

func ruleFor(dir string) int {
	for i, r := range rules {
		if matches(r.packages, dir) {
			return i
		}
	}
	return -1
}

func matches(patterns []string, dir string) bool {
	for _, p := range patterns {
		base, below := strings.CutSuffix(p, "/...")
		if p == anywhere || dir == base || (below && strings.HasPrefix(dir, base+"/")) {
			return true
		}
	}
	return false
}

func allowed(r rule, dir, imported string) bool {
	if rest, ok := strings.CutPrefix(imported, module); ok {
		own := strings.TrimPrefix(rest, "/")
		if own == "" {
			own = "."
		}
		return matches(r.own, own) || strings.HasPrefix(own, dir+"/internal/")
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // standard library
	}
	for _, prefix := range r.outside {
		if prefix == anywhere || imported == prefix || strings.HasPrefix(imported, prefix+"/") {
			return true
		}
	}
	return false
}

// A package without a doc comment explains itself to nobody; two comments say
// two things. init functions and drawers such as "util" hide what happens where.
func TestPackagesAreDocumentedAndNamed(t *testing.T) {
	t.Parallel()
	for _, p := range parsePackages(t) {
		if p.docs != 1 {
			t.Errorf("package %s has %d package comments, want exactly one", p.dir, p.docs)
		}
		if p.inits > 0 {
			t.Errorf("package %s has an init function: pass values from main instead", p.dir)
		}
		switch path.Base(p.dir) {
		case "util", "utils", "common", "helper", "helpers", "base", "shared", "misc", "types", "models":
			t.Errorf("package %s: the name says nothing; name it after what it provides", p.dir)
		}
	}
}

type pkg struct {
	dir     string
	imports []string
	docs    int
	inits   int
}

// parsePackages reads the non-test files of this module. Folders with a go.mod
// of their own are other modules.
func parsePackages(t *testing.T) []*pkg {
	t.Helper()
	byDir := map[string]*pkg{}
	var all []*pkg
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(name, d)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		p := byDir[dir]
		if p == nil {
			p = &pkg{dir: dir}
			byDir[dir] = p
			all = append(all, p)
		}
		p.add(file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("found %d packages only: is the test run in the root of the module?", len(all))
	}
	return all
}

func skipDir(name string, d fs.DirEntry) error {
	if name == "." {
		return nil
	}
	if strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

func (p *pkg) add(file *ast.File) {
	if file.Doc != nil {
		p.docs++
	}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value) // the parser accepted it
		p.imports = append(p.imports, imported)
	}
	for _, decl := range file.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			p.inits++
		}
	}
}
