package linear

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

// Append is the input of an append of one event to one stream, for histories
// that somebody else records. Its output is an AppendAnswer.
type Append struct {
	Stream string
	Expect store.Expect
	ID     string
}

// AppendAnswer is what a client heard.
type AppendAnswer struct {
	// Unknown: it may have happened, or may still. Nothing else counts then.
	Unknown bool
	// Conflict: it was refused, as the stream was at Revision.
	Conflict bool
	// Duplicate: it had happened before.
	Duplicate bool
	Revision  banyan.Revision
}

// Read is the input of a read of a stream. Its output is a string: the ids of
// the events in their order, each followed by a space.
type Read struct{ Stream string }

// Streams returns the specification for histories of Append and Read. Each
// stream is searched by itself, which allows histories of thousands of calls.
func Streams() porcupine.Model {
	return porcupine.Model{
		Partition: partition,
		Init:      func() any { return "" },
		Step: func(s, input, output any) (bool, any) {
			if _, ok := input.(Read); ok {
				return s.(string) == output.(string), s
			}
			return stepStream(s.(string), input.(Append), output.(AppendAnswer))
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	}
}

// stepStream is the specification of Model for the first of its streams.
func stepStream(ids string, in Append, out AppendAnswer) (bool, any) {
	answered, next := answer(state{ids}, appendInput{{expect: in.Expect, id: in.ID}})
	if out.Unknown {
		return true, next[0]
	}
	want := AppendAnswer{Duplicate: answered.duplicate, Revision: answered.revisions[0]}
	if answered.conflict.Stream != "" {
		want = AppendAnswer{Conflict: true, Revision: answered.conflict.Have}
	}
	return out == want, next[0]
}

func partition(history []porcupine.Operation) [][]porcupine.Operation {
	place := map[string]int{}
	var parts [][]porcupine.Operation
	for _, op := range history {
		stream := ""
		switch in := op.Input.(type) {
		case Append:
			stream = in.Stream
		case Read:
			stream = in.Stream
		}
		i, ok := place[stream]
		if !ok {
			i = len(parts)
			place[stream] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}

// StreamsResult searches for an order that explains a history of Append and
// Read, for as long as most.
func StreamsResult(history []storetest.Operation, most time.Duration) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(Streams(), operations(history), most)
}
