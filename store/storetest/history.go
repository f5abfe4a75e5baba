package storetest

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Operation is one call of a client as it saw it from outside.
type Operation struct {
	Client int
	Input  any
	Output any
	// Call and Return are nanoseconds since the recorder was made. An operation
	// whose outcome is unknown stays open: it returns after everything else.
	Call, Return int64
}

// Open is the time at which an operation of unknown outcome returns.
const Open = math.MaxInt64

// Recorder records the history of concurrent clients, for a checker of
// linearizability. The zero value is not ready; use NewRecorder.
type Recorder struct {
	start time.Time

	mu  sync.Mutex
	ops []Operation // guarded by mu
}

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// Verdict says what became of a call.
type Verdict int

const (
	// Done: the output is what the store answered.
	Done Verdict = iota
	// Unknown: it may have happened, or may still.
	Unknown
	// Never: it did certainly not happen; it is left out of the history.
	Never
)

// Do runs call for a client and records it.
func (r *Recorder) Do(client int, input any, call func() (output any, v Verdict)) {
	op := Operation{Client: client, Input: input, Call: time.Since(r.start).Nanoseconds()}
	output, verdict := call()
	op.Output, op.Return = output, time.Since(r.start).Nanoseconds()
	switch verdict {
	case Never:
		return
	case Unknown:
		op.Return = Open
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
}

// Operations returns what was recorded, in the order of the calls.
func (r *Recorder) Operations() []Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	ops := slices.Clone(r.ops)
	slices.SortFunc(ops, func(a, b Operation) int { return int(a.Call - b.Call) })
	return ops
}
