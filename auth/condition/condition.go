// Package condition makes conditions for auth.Rule of expressions in CEL, the
// Common Expression Language:
//
//	request.method == "GET" || identity.claims.department == "finance" && identity.scopes.exists(s, s == "orders:write")
//
// An expression is parsed and type-checked when it is made; a mistake is reported
// with its line and column. It must give a bool. It may use:
//
//	identity.method    string             "jwt", "key" or "certificate"
//	identity.subject   string
//	identity.issuer    string             "" if there is none, as for client and tenant
//	identity.client    string
//	identity.tenant    string
//	identity.key       string             auth.Identity.Key
//	identity.scopes    list(string)
//	identity.claims    map(string, dyn)   whole numbers are int; use has(identity.claims.x) for one that may be missing
//	request.method     string             as sent: methods are case-sensitive
//	request.host       string             in small letters, without the port
//	request.path       string             decoded
//	request.headers    map(string, string)        names in small letters; several values joined with ", "
//	request.query      map(string, list(string))  decoded
//	request.client     string             address of the client: "192.0.2.1", "2001:db8::1" (Options.Client)
//
// and the standard functions and macros of CEL. Headers that hold credentials are
// not there.
//
// # What it guarantees
//
// An expression has no side effects, does no I/O, knows no time, and ends: its
// cost is bounded (Options.CostLimit), as are its length and nesting. Evaluation
// takes 3 to 8 µs for expressions like the one above. Whatever goes wrong at
// evaluation, a claim that is not there, a comparison of a string with a number, a
// query that cannot be decoded, a client whose address is not known, the limit, is
// an error, and auth.Policy denies then. Errors hold nothing of the request.
//
// A Condition may be used by any number of goroutines.
package condition

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/interpreter"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/auth"
)

const (
	maxSource  = 4 << 10 // characters of an expression
	maxNesting = 32
)

// Options of a Condition.
type Options struct {
	// CostLimit bounds one evaluation, in units of CEL, of which a comparison is
	// about one and a string of a hundred characters that is searched about ten.
	// Default: 10,000, which is less than a millisecond.
	CostLimit uint64
	// HideHeaders are not in request.headers, besides Authorization,
	// Proxy-Authorization, Cookie and X-Api-Key. Default: none more.
	HideHeaders []string
	// Client returns the address of who sent a request, for request.client; one
	// that is none makes what asks for it fail. Default: that of the connection
	// (RemoteAddr), which is a proxy's where there is one.
	Client func(*http.Request) string
}

// Condition is an expression that is ready to be evaluated.
type Condition struct {
	source  string
	program cel.Program
	query   bool // the expression looks at request.query
	hidden  map[string]bool
	client  func(*http.Request) string
}

// New parses and checks an expression. The error is a *Error for mistakes in it.
func New(expression string, o *Options) (*Condition, error) {
	if o == nil {
		o = &Options{}
	}
	limit := o.CostLimit
	if limit == 0 {
		limit = 10_000
	}
	env, err := newEnv()
	if err != nil {
		return nil, fmt.Errorf("condition: set up CEL: %w", err)
	}
	checked, err := compile(env, expression)
	if err != nil {
		return nil, err
	}
	program, err := env.Program(checked, planned(env, checked, limit)...)
	if err != nil {
		// Constants are folded here: 1/0 is found at last.
		return nil, &Error{Line: 1, Column: 1, Message: err.Error()}
	}
	c := &Condition{source: expression, program: program, hidden: hidden(o.HideHeaders), client: o.Client}
	if c.client == nil {
		c.client = func(r *http.Request) string { return r.RemoteAddr }
	}
	for _, ref := range checked.NativeRep().ReferenceMap() {
		c.query = c.query || ref.Name == "request.query"
	}
	return c, nil
}

// planned leaves the cost uncounted, which doubles the speed, where it cannot
// reach the limit however large the request.
func planned(env *cel.Env, checked *cel.Ast, limit uint64) []cel.ProgramOption {
	if estimate, err := env.EstimateCost(checked, sizes{}); err == nil && estimate.Max <= limit {
		return []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	}
	return []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize | cel.OptTrackCost), cel.CostLimit(limit)}
}

// sizes tells CEL how large what a request brings can be at most: a token has 16
// KiB, and so have all headers of a request where limits are as usual. Where they
// are not, the cost of an expression that is not counted grows with the size of
// the request and no faster.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(checker.AstNode) *checker.SizeEstimate {
	return &checker.SizeEstimate{Max: 16 << 10}
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// String returns the expression.
func (c *Condition) String() string { return c.source }

// Error is the first mistake in an expression.
type Error struct {
	// Line and Column of the mistake, both from 1.
	Line, Column int
	Message      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("condition: line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// Unwrap returns banyan.ErrInvalid.
func (e *Error) Unwrap() error { return banyan.ErrInvalid }

func newEnv() (*cel.Env, error) {
	text := cel.StringType
	// Each variable is declared with its whole name: a wrong member is found by
	// the checker, and an evaluation pays only for those it uses.
	return cel.NewEnv(
		cel.Variable("identity.method", text),
		cel.Variable("identity.subject", text),
		cel.Variable("identity.issuer", text),
		cel.Variable("identity.client", text),
		cel.Variable("identity.tenant", text),
		cel.Variable("identity.key", text),
		cel.Variable("identity.scopes", cel.ListType(text)),
		cel.Variable("identity.claims", cel.MapType(text, cel.DynType)),
		cel.Variable("request.method", text),
		cel.Variable("request.host", text),
		cel.Variable("request.path", text),
		cel.Variable("request.headers", cel.MapType(text, text)),
		cel.Variable("request.query", cel.MapType(text, cel.ListType(text))),
		cel.Variable("request.client", text),
		cel.ParserExpressionSizeLimit(maxSource),
		cel.ParserRecursionLimit(maxNesting),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateHomogeneousAggregateLiterals(), cel.ValidateComprehensionNestingLimit(2)),
	)
}

func compile(env *cel.Env, expression string) (*cel.Ast, error) {
	if len(expression) > maxSource {
		return nil, &Error{Line: 1, Column: 1, Message: fmt.Sprintf("longer than %d bytes", maxSource)}
	}
	checked, issues := env.Compile(expression)
	for _, issue := range issues.Errors() {
		return nil, &Error{Line: max(issue.Location.Line(), 1), Column: max(issue.Location.Column()+1, 1), Message: firstLine(issue.Message)}
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return nil, &Error{Line: 1, Column: 1, Message: "it gives " + checked.OutputType().String() + ", want bool: compare it with something"}
	}
	return checked, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Allow implements auth.Condition.
func (c *Condition) Allow(r *http.Request, id auth.Identity) (bool, error) {
	vars, err := c.variables(r, id)
	if err != nil {
		return false, err
	}
	out, _, err := c.program.Eval(vars)
	if err != nil {
		return false, failure(err)
	}
	allowed, ok := out.Value().(bool)
	if !ok {
		return false, errors.New("condition: evaluate: no bool")
	}
	return allowed, nil
}

// failure does not pass the library's text on: it may quote a value ("cannot
// parse …"), and values come from tokens and requests.
func failure(err error) error {
	if cancelled := (interpreter.EvalCancelledError{}); errors.As(err, &cancelled) || strings.Contains(err.Error(), "cost limit") {
		return errors.New("condition: evaluate: the cost limit is reached")
	}
	return errors.New("condition: evaluate: a member is missing or a value has another type")
}

// Interface guard.
var _ auth.Condition = (*Condition)(nil)
