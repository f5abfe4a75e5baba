package projection

import (
	"errors"
	"slices"
	"time"

	"github.com/banyanhq/banyan"
)

// request is what a person asks the owner of a projection for, because the code
// that does it is in the owner's process. It is written into the state by whoever
// asks and taken out, with an answer in its place, in the batch that does it: so
// it is done once, also when the owner dies and another one finds it.
type request struct {
	ID         string    `json:"id"`
	Op         string    `json:"op"`
	At         time.Time `json:"at"`
	Generation int       `json:"generation,omitempty"`
	Hold       bool      `json:"hold,omitempty"`
	Force      bool      `json:"force,omitempty"`
	Key        string    `json:"key,omitempty"`
	All        bool      `json:"all,omitempty"` // keys
}

// What can be asked for.
const (
	opRebuild = "rebuild"
	opSwitch  = "switch"
	opDrop    = "drop"
	opRetry   = "retry"
)

// answer is what became of a request.
type answer struct {
	ID         string  `json:"id"`
	Error      string  `json:"error,omitempty"`
	Kind       string  `json:"kind,omitempty"` // of the error
	Generation int     `json:"generation,omitempty"`
	Retried    Retried `json:"retried,omitzero"`
}

// Retried is what a retry of parked keys did.
type Retried struct {
	// Events is how many were applied.
	Events int `json:"events"`
	// Keys is how many are no longer parked, Failed how many still are.
	Keys   int `json:"keys"`
	Failed int `json:"failed"`
	// Error is that of the first key that failed.
	Error string `json:"error,omitempty"`
}

// The document is written with every batch: who asks takes the answer out, and
// those that nobody took are bounded.
const (
	maxRequests = 16
	maxAnswers  = 16
)

func (s *state) pending(id string) bool {
	return slices.ContainsFunc(s.Requests, func(q request) bool { return q.ID == id })
}

func (s *state) answered(id string) (answer, bool) {
	i := slices.IndexFunc(s.Answers, func(a answer) bool { return a.ID == id })
	if i < 0 {
		return answer{}, false
	}
	return s.Answers[i], true
}

func (s *state) withdraw(id string) {
	s.Requests = slices.DeleteFunc(s.Requests, func(q request) bool { return q.ID == id })
}

func (s *state) settle(a answer) {
	s.withdraw(a.ID)
	s.Answers = append(s.Answers, a)
	s.Answers = s.Answers[max(len(s.Answers)-maxAnswers, 0):]
}

func (a *answer) fail(err error) {
	a.Error = plain(err.Error(), maxError)
	if kind := banyan.Kind(err); kind != nil {
		a.Kind = kind.Error()
	}
}

// err returns the error of an answer with its kind.
func (a answer) err() error {
	if a.Error == "" {
		return nil
	}
	for _, kind := range []error{
		banyan.ErrConflict, banyan.ErrNotFound, banyan.ErrExists, banyan.ErrInvalid, banyan.ErrDenied,
		banyan.ErrGone, banyan.ErrCorrupt, banyan.ErrClosed, banyan.ErrUnavailable, banyan.ErrUnknown,
	} {
		if kind.Error() == a.Kind {
			return &told{a.Error, kind}
		}
	}
	return errors.New(a.Error)
}

// told is an error of another process.
type told struct {
	text string
	kind error
}

func (e *told) Error() string { return e.text }
func (e *told) Unwrap() error { return e.kind }
