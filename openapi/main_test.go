package openapi_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/openapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parse reads a document that has to be right.
func parse(t testing.TB, text string) *openapi.Document {
	t.Helper()
	d, err := openapi.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return d
}

func validator(t testing.TB, text string, o *openapi.Options) *openapi.Validator {
	t.Helper()
	v, err := openapi.NewValidator(parse(t, text), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const head = "openapi: 3.1.0\ninfo: {title: T, version: '1'}\n"
