package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/banyanhq/banyan/internal/http1"
	"github.com/banyanhq/banyan/openapi"
)

// Contract is an OpenAPI document that the requests of a route have to keep. One
// that does not is answered 400, 404, 405, 413 or 415 before the upstream is
// asked; what does is forwarded byte for byte.
//
// It is checked behind authentication and the limits, so that nobody learns of an
// API that is closed to them, and wrong requests are paid for; and in front of
// the changes and the cache: the document is about what clients send, the changes
// may count on it, and nothing is stored or answered under a request that should
// not be.
type Contract struct {
	// File of the document, relative to the configuration file; to that which
	// includes the others, if there are some. It is read again with every reload.
	File string `yaml:"file"`
	// Base stands before the paths of the document, in the path as the upstream
	// sees it: behind strip_prefix and add_prefix. Default: nothing.
	Base string `yaml:"base"`
	// Operations, Query and Body say what becomes of operations, query parameters
	// and bodies that the document does not describe: "refuse" or "pass"; default:
	// refuse, pass, refuse.
	Operations openapi.Policy `yaml:"operations"`
	Query      openapi.Policy `yaml:"query"`
	Body       openapi.Policy `yaml:"body"`
	// MaxBody is how long a body may be, in bytes; default 1 MiB. A body that has
	// to be checked is held in memory.
	MaxBody int64 `yaml:"max_body"`
}

// validator reads the document and compiles it.
func (c *Contract) validator(config *Config) (*openapi.Validator, error) {
	if c.File == "" {
		return nil, errors.New("it has no file")
	}
	doc, err := openapi.Load(config.beside(c.File))
	if err != nil {
		return nil, err
	}
	return openapi.NewValidator(doc, &openapi.Options{BasePath: c.Base, Operations: c.Operations, Query: c.Query, Body: c.Body, MaxBody: c.MaxBody})
}

// validated returns a handler behind the contract of a route.
func (r *Route) validated(c *Config, next http.Handler) (http.Handler, error) {
	if r.OpenAPI == nil {
		return next, nil
	}
	v, err := r.OpenAPI.validator(c)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		path := r.behind(arrivalOf(req.Context()).path)
		u := *req.URL
		u.Path, u.RawPath = unescape(path), path
		seen := *req
		seen.URL = &u
		arriving := &arrivingBody{ReadCloser: req.Body}
		if req.Body != nil && req.Body != http.NoBody {
			seen.Body = arriving
		}
		checked, refused := v.Check(&seen)
		switch {
		case refused != nil && arriving.err != nil:
			(&forwarder{route: r}).fail(w, req, http1.ClientFault(arriving.err))
		case refused != nil:
			refuse(w, refused)
		default:
			out := *checked
			out.URL = req.URL
			if checked.Body != nil && checked.Body != http.NoBody {
				out.Body = boundBody{checked.Body}
			}
			next.ServeHTTP(w, &out)
		}
	}), nil
}

// arrivingBody remembers why it could not be read: that is the client's fault,
// and not one of the contract.
type arrivingBody struct {
	io.ReadCloser
	err error
}

// Read implements io.Reader.
func (b *arrivingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// boundBody is a body that the validator lets through up to a length. Where it
// ends it, it is the client's fault.
type boundBody struct{ io.ReadCloser }

// Read implements io.Reader.
func (b boundBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		err = &http1.Error{Status: http.StatusRequestEntityTooLarge, Reason: fmt.Sprintf("the body is longer than %d bytes", long.Limit)}
	}
	return n, err
}

// refuse answers a request that does not keep its contract.
func refuse(w http.ResponseWriter, p *openapi.Problem) {
	text, _ := json.Marshal(p) // of texts and a number: it cannot fail
	maps.Copy(w.Header(), p.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(text) // a client that is gone does not read it
}

// behind returns a path as the upstream of a route sees it.
func (r *Route) behind(path string) string {
	return (&forwarder{route: r}).rewrite(path)
}

// beside returns the name of a document, which may be relative to the
// configuration file.
func (c *Config) beside(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(filepath.Dir(c.file), file)
}

// documents returns the files that upstreams and routes are described in.
func (c *Config) documents() []string {
	var names []string
	for i := range c.Routes {
		if contract := c.Routes[i].OpenAPI; contract != nil {
			names = append(names, c.beside(contract.File))
		}
	}
	for _, u := range c.Upstreams {
		if file, ok := strings.CutPrefix(u.OpenAPI, fileScheme); ok {
			names = append(names, c.beside(file))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkContracts reports what is wrong with the contracts of routes.
func (c *Config) checkContracts(found *mistakes) {
	for i := range c.Routes {
		contract, path := c.Routes[i].OpenAPI, fmt.Sprintf("$.routes[%d].openapi", i)
		if contract == nil {
			continue
		}
		if base := contract.Base; base != "" {
			if canonical, err := Canonical(base, PathRules{}); err != nil || canonical != base || strings.HasSuffix(base, "/") {
				found.add(path+".base", "%q is not a path prefix; want something like /api", base)
				continue
			}
		}
		if _, err := contract.validator(c); err != nil {
			checkDocument(path, path+".file", err, found)
		}
	}
}

// checkDocument reports what is wrong with a document, each with its line there,
// or with what else is said about it.
func checkDocument(path, file string, err error, found *mistakes) {
	var wrong *openapi.Error
	var missing interface{ Timeout() bool } // fs.PathError
	switch {
	case errors.As(err, &wrong):
		for line := range strings.Lines(wrong.Error()) {
			found.add(file, "%s", strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "openapi: "))
		}
	case errors.As(err, &missing):
		found.add(file, "%s", strings.TrimPrefix(err.Error(), "openapi: load: "))
	default:
		checkPolicies(path, err, found)
	}
}
