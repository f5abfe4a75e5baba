package openapi_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/openapi"
)

// A change that is called harmless refuses nothing that was taken before, and
// lets nothing come that did not. The evaluator is the oracle. Left out is what is
// harmless by agreement: fields that are new, and schemas of oneOf, where a wider
// alternative may fit together with another.
func TestDiffIsSound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before := generated(2).Draw(t, "schema")
		text, _ := json.Marshal(mutated(t, decoded(before)))
		after := string(text)
		if strings.Contains(before+after, "oneOf") {
			t.Skip()
		}
		old, now := bothWays(t, before), bothWays(t, after)
		if old == nil || now == nil {
			t.Skip()
		}
		diffs := [2][]openapi.Change{openapi.Diff(old.docs[0], now.docs[0]), openapi.Diff(old.docs[1], now.docs[1])}
		for range 8 {
			value := values(2).Draw(t, "value")
			was, is := old.takes(value), now.takes(value)
			if was && !is && !judged(diffs[0]) || !was && is && !judged(diffs[1]) {
				t.Fatalf("before %s\nafter %s\n%s was %v and is %v; the request: %v, the answer: %v", before, after, value, was, is, diffs[0], diffs[1])
			}
		}
	})
}

// judged reports whether a change breaks, or is harmless by agreement.
func judged(all []openapi.Change) bool {
	return slices.ContainsFunc(all, func(c openapi.Change) bool {
		return c.Breaking || c.Text == "is new" || c.Text == "allows other fields"
	})
}

// described is a schema of a request, and of an answer.
type described struct {
	docs      [2]*openapi.Document
	validator *openapi.Validator
}

// bothWays returns nil for what is no schema.
func bothWays(t *rapid.T, schema string) *described {
	var d described
	content := `{"content":{"application/json":{"schema":` + schema + `}}}`
	for i, operation := range []string{`{"requestBody":` + content + `}`, `{"responses":{"200":` + content + `}}`} {
		doc, err := openapi.Parse("t", []byte(`{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/":{"post":`+operation+`}},"components":{"schemas":{"Tree":{"type":"object","properties":{"a":{"$ref":"#/components/schemas/Tree"}}}}}}`))
		if err != nil {
			return nil
		}
		d.docs[i] = doc
	}
	var err error
	if d.validator, err = openapi.NewValidator(d.docs[0], nil); err != nil {
		return nil
	}
	return &d
}

func (d *described) takes(value string) bool {
	r, _ := http.NewRequest(http.MethodPost, "/", strings.NewReader(value))
	r.Header.Set("Content-Type", "application/json")
	_, problem := d.validator.Check(r)
	return problem == nil
}

func decoded(text string) (v any) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	_ = d.Decode(&v) // generated
	return v
}

// mutated changes one thing somewhere in a schema.
func mutated(t *rapid.T, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := maps.Clone(v)
		names := slices.Sorted(maps.Keys(v))
		switch at := rapid.IntRange(0, 4).Draw(t, "change"); {
		case at == 0 || len(names) == 0:
			name := rapid.SampledFrom(keywords()).Draw(t, "added")
			out[name] = decoded(keyword(t, name, 1))
		case at == 1:
			delete(out, rapid.SampledFrom(names).Draw(t, "removed"))
		default:
			name := rapid.SampledFrom(names).Draw(t, "below")
			out[name] = mutated(t, v[name])
		}
		return out
	case []any:
		if len(v) > 0 {
			out, i := slices.Clone(v), rapid.IntRange(0, len(v)-1).Draw(t, "item")
			out[i] = mutated(t, v[i])
			return out
		}
	}
	return decoded(rapid.SampledFrom([]string{`{"type":"string"}`, "1", "2", "0", "true", "false", `"string"`, `"integer"`, `["a"]`}).Draw(t, "leaf"))
}
