package gateway_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	reflected "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/banyanhq/banyan/gateway"
)

var update = flag.Bool("update", false, "write banyan.schema.json")

// The schema is made of the fields of Config and what their comments say.
func TestSchema(t *testing.T) {
	t.Parallel()
	r := &reflected.Reflector{
		FieldNameTag: "yaml", ExpandedStruct: true, RequiredFromJSONSchemaTags: true,
		Namer: func(t reflect.Type) string {
			if t.Name() == "" {
				return ""
			}
			return path.Base(t.PkgPath()) + "." + t.Name()
		},
		Mapper: func(t reflect.Type) *reflected.Schema {
			if t == reflect.TypeFor[time.Duration]() {
				return &reflected.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`, Examples: []any{"30s", "1m30s"}}
			}
			return nil
		},
	}
	for _, dir := range []string{".", "compose", "compress", "browser", "transform"} {
		if err := r.AddGoComments("github.com/banyanhq/banyan/gateway", dir, reflected.WithFullComment()); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range r.CommentMap {
		r.CommentMap[name] = strings.Join(strings.Fields(text), " ")
	}
	s := r.Reflect(&gateway.Config{})
	s.ID, s.Title = "", "The configuration of a Banyan gateway"
	// One URL stands for an upstream, and for a redirect.
	for name, pattern := range map[string]string{"gateway.Upstream": "^https?://", "gateway.Redirect": "^(https?://|/|{path})"} {
		whole := *s.Definitions[name]
		s.Definitions[name] = &reflected.Schema{Description: whole.Description, OneOf: []*reflected.Schema{{Type: "string", Pattern: pattern}, &whole}}
		whole.Description = ""
	}
	got, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile("banyan.schema.json", got, 0o644); err != nil { //nolint:gosec // it is a public file
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(gateway.Schema()), string(got)); diff != "" {
		t.Errorf("go test ./gateway -run TestSchema -update writes it anew:\n%s", diff)
	}
}

// Files that are right fit the schema, and a key that there is not does not.
func TestSchemaFits(t *testing.T) {
	t.Parallel()
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(gateway.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("banyan.schema.json", text); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("banyan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	fits := func(file []byte) error {
		t.Helper()
		out, err := yaml.YAMLToJSON(file)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	docs, err := os.ReadFile("../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(docs, -1) {
		if err := fits(b[1]); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"unknown-key", "type", "duration"} {
		file, err := os.ReadFile(filepath.Join("testdata/wrong", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if fits(file) == nil {
			t.Errorf("%s fits", name)
		}
	}
}
