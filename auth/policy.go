package auth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/banyanhq/banyan"
)

// Condition decides on a request. Package condition makes them of CEL
// expressions; any other decision fits too. An error denies. It is called
// concurrently.
type Condition interface {
	Allow(r *http.Request, id Identity) (bool, error)
}

// Rule says who may pass. All of what is set must hold.
type Rule struct {
	// AllScopes must all be granted.
	AllScopes []string
	// AnyScopes: one of them must be granted.
	AnyScopes []string
	// Methods: the identity must have been proved by one of them. Default: any.
	Methods []Method
	// Conditions must all be true, and are asked in this order.
	Conditions []Condition
}

// Policy is the authorisation of a route. It stands behind a Guard.
type Policy struct {
	rule   Rule
	wanted Scopes
	opts   Options
}

// NewPolicy makes a Policy. A rule without anything lets every identity pass, and
// no anonymous request.
func NewPolicy(rule Rule, o *Options) (*Policy, error) {
	opts, err := o.withDefaults()
	p := &Policy{rule: rule, opts: opts}
	all, ok := scopesOf(slices.Concat(rule.AllScopes, rule.AnyScopes))
	if !ok && err == nil {
		err = errors.New("a scope has a character that no scope may have")
	}
	if slices.Contains(rule.Conditions, nil) && err == nil {
		err = errors.New("a condition is nil")
	}
	if err != nil {
		return nil, fmt.Errorf("auth: new policy: %w: %w", banyan.ErrInvalid, err)
	}
	p.wanted = all
	return p, nil
}

// Wrap is the middleware: requests that the rule allows pass, others are answered
// with 403, and those without an identity with 401.
func (p *Policy) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusal := p.check(r); refusal != nil {
			p.opts.Hooks.refused(r.Context(), refusal)
			refusal.answer(w, p.opts.Realm, refusal.policyChallenges())
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (p *Policy) check(r *http.Request) *Refusal {
	id, ok := From(r.Context())
	if !ok {
		return &Refusal{Reason: ReasonMissing, Status: http.StatusUnauthorized}
	}
	if len(p.rule.Methods) > 0 && !slices.Contains(p.rule.Methods, id.Method) {
		return forbid(id.Method, ReasonCondition)
	}
	if !p.granted(id.Scopes) {
		refusal := forbid(id.Method, ReasonScope)
		refusal.Code, refusal.Scopes = codeScope, p.wanted
		return refusal
	}
	for _, c := range p.rule.Conditions {
		allowed, err := c.Allow(r, id)
		if err != nil {
			refusal := forbid(id.Method, ReasonConditionErr)
			refusal.Err = err
			return refusal
		}
		if !allowed {
			return forbid(id.Method, ReasonCondition)
		}
	}
	return nil
}

func (p *Policy) granted(have Scopes) bool {
	for _, s := range p.rule.AllScopes {
		if !have.Has(s) {
			return false
		}
	}
	return len(p.rule.AnyScopes) == 0 || slices.ContainsFunc(p.rule.AnyScopes, have.Has)
}

// policyChallenges: a token with more scopes would help, and a credential where
// there was none; for a condition nothing would.
func (r *Refusal) policyChallenges() []string {
	if r.Status == http.StatusUnauthorized || r.Code == codeScope && r.Method == MethodJWT {
		return []string{schemeBearer}
	}
	return nil
}
