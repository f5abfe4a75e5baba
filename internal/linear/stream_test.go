package linear_test

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/banyanhq/banyan/internal/linear"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

// call is an operation of a client of its own; answers come in the order given.
func call(from, to int64, in, out any) storetest.Operation {
	return storetest.Operation{Input: in, Output: out, Call: from, Return: to}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	put := func(stream, id string, expect store.Expect) linear.Append {
		return linear.Append{Stream: stream, Expect: expect, ID: id}
	}
	var (
		a       = put("s", "a", store.NoStream)
		b       = put("s", "b", store.Exact(1))
		first   = linear.AppendAnswer{Revision: 1}
		second  = linear.AppendAnswer{Revision: 2}
		unknown = linear.AppendAnswer{Unknown: true}
		read    = linear.Read{Stream: "s"}
	)
	for name, c := range map[string]struct {
		history []storetest.Operation
		want    porcupine.CheckResult
	}{
		"one after the other":         {[]storetest.Operation{call(1, 2, a, first), call(3, 4, b, second), call(5, 6, read, "a b ")}, porcupine.Ok},
		"a read beside an append":     {[]storetest.Operation{call(1, 5, a, first), call(2, 3, read, "a "), call(4, 6, read, "a ")}, porcupine.Ok},
		"an acknowledged one is lost": {[]storetest.Operation{call(1, 2, a, first), call(3, 4, read, "")}, porcupine.Illegal},
		"reads go back":               {[]storetest.Operation{call(1, 9, a, first), call(2, 3, read, "a "), call(4, 5, read, "")}, porcupine.Illegal},
		"an order nobody made":        {[]storetest.Operation{call(1, 2, a, first), call(3, 4, b, second), call(5, 6, read, "b a ")}, porcupine.Illegal},
		"a conflict":                  {[]storetest.Operation{call(1, 2, a, first), call(3, 4, put("s", "c", store.NoStream), linear.AppendAnswer{Conflict: true, Revision: 1})}, porcupine.Ok},
		"a conflict with nothing":     {[]storetest.Operation{call(1, 2, a, linear.AppendAnswer{Conflict: true, Revision: 1})}, porcupine.Illegal},
		"both win":                    {[]storetest.Operation{call(1, 2, a, first), call(1, 2, put("s", "c", store.NoStream), second)}, porcupine.Illegal},
		"a repetition":                {[]storetest.Operation{call(1, 2, a, first), call(3, 4, a, linear.AppendAnswer{Duplicate: true, Revision: 1})}, porcupine.Ok},
		"a repetition that is new":    {[]storetest.Operation{call(1, 2, put("s", "a", store.Any), first), call(3, 4, put("s", "a", store.Any), second)}, porcupine.Illegal},
		"an unknown one happened":     {[]storetest.Operation{call(1, storetest.Open, a, unknown), call(3, 4, read, ""), call(5, 6, read, "a ")}, porcupine.Ok},
		"an unknown one did not":      {[]storetest.Operation{call(1, storetest.Open, a, unknown), call(3, 4, read, ""), call(5, 6, put("s", "c", store.NoStream), first)}, porcupine.Ok},
		"one nobody sent happened":    {[]storetest.Operation{call(5, 6, read, "a ")}, porcupine.Illegal},
		"streams are apart":           {[]storetest.Operation{call(1, 2, a, first), call(3, 4, put("t", "b", store.NoStream), first), call(5, 6, read, "a ")}, porcupine.Ok},
		"the second stream is wrong":  {[]storetest.Operation{call(1, 2, a, first), call(3, 4, put("t", "b", store.NoStream), first), call(5, 6, linear.Read{Stream: "t"}, "")}, porcupine.Illegal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := linear.StreamsResult(c.history, time.Minute); got != c.want {
				t.Errorf("the search says %v, want %v", got, c.want)
			}
		})
	}
}
