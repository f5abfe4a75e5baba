package main

import (
	"bufio"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// handedOver reads the open appends: "ID STREAM", or "ID STREAM MARK".
func handedOver(in *bufio.Scanner) (open []event) {
	for in.Scan() && in.Text() != "" {
		switch f := strings.Fields(in.Text()); len(f) {
		case 2:
			open = append(open, event{id: f[0], stream: f[1], mark: f[0]})
		case 3:
			open = append(open, event{id: f[0], stream: f[1], mark: f[2]})
		}
	}
	return open
}

// writer appends until the process is killed.
type writer struct {
	options
	store *store.Store
	out   *output
}

// resend sends open appends again. Their ids decide whether they are new.
func (w *writer) resend(ctx context.Context, open []event) error {
	for _, e := range open {
		result, err := w.store.Append(ctx, e.stream, store.Any, e.banyan(w.pad))
		if err != nil {
			return err
		}
		w.out.say("ack %s %s %d", e.id, e.stream, result.Revision())
	}
	return nil
}

// perStream is how many events a stream gets before its writer begins another.
const perStream = 20

func (w *writer) run(ctx context.Context) error {
	for {
		stream := "s-" + banyan.NewID()
		for revision := range banyan.Revision(perStream) {
			id := banyan.NewID()
			if err := w.write(ctx, event{id: id, stream: stream, mark: id}, revision); err != nil {
				return err
			}
		}
	}
}

// patience is how long a writer waits before it repeats an append that failed.
const patience = 10 * time.Millisecond

// write appends one event and says so; with -survive until it is acknowledged.
func (w *writer) write(ctx context.Context, e event, after banyan.Revision) error {
	for failed := false; ; failed = true {
		w.out.say("try %s %s", e.id, e.stream)
		if w.bug == ackEarly {
			w.out.say("ack %s %s %d", e.id, e.stream, after+1)
		}
		result, err := w.store.Append(ctx, e.stream, store.Exact(after), e.banyan(w.pad))
		switch {
		case err == nil && result.Duplicate && !failed:
			return errors.New("a new id was taken for a repetition")
		case err == nil && w.bug == ackEarly:
			return nil
		case err == nil:
			w.out.say("ack %s %s %d", e.id, e.stream, result.Revision())
			return nil
		case w.bug == ackFailed:
			w.out.say("ack %s %s %d", e.id, e.stream, after+1)
			return nil
		case !w.survive || !banyan.Retryable(err):
			return err
		}
		w.out.say("fail %s %s %s", e.id, kind(err), strings.ReplaceAll(err.Error(), "\n", " "))
		time.Sleep(patience)
	}
}

func kind(err error) string {
	if errors.Is(err, banyan.ErrUnknown) {
		return "unknown"
	}
	return "unavailable"
}

// answer reads what the run asks for.
func (w *writer) answer(ctx context.Context, in *bufio.Scanner) error {
	for in.Scan() {
		if stream, ok := strings.CutPrefix(in.Text(), "read "); ok {
			w.read(ctx, stream)
		}
	}
	return nil
}

func (w *writer) read(ctx context.Context, stream string) {
	n := 0
	events := w.store.Read(ctx, stream, store.ReadOptions{})
	if stream == "*" {
		events = w.store.All(ctx, 0, store.Filter{})
	}
	for _, err := range events {
		if err != nil {
			w.out.say("unread %s %s", stream, strings.ReplaceAll(err.Error(), "\n", " "))
			return
		}
		n++
	}
	w.out.say("have %s %d", stream, n)
}
