package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// server does what standard input says, each line at once and beside the
// others: "N append STREAM EXPECTATION ID" or "N read STREAM". It answers with
// one of
//
//	N done REVISION            appended
//	N again REVISION           was appended before
//	N conflict REVISION        the stream is at this revision
//	N events ID ID …           what the stream has
//	N unavailable TEXT         nothing was done
//	N unknown TEXT
type server struct {
	store *store.Store
	bug   string
	out   *output

	mu    sync.Mutex
	cache map[string]*cached // guarded by mu; for the planted bug of stale reads
}

type cached struct {
	text string
	uses int
}

func (s *server) run(ctx context.Context, in *bufio.Scanner) error {
	s.cache = map[string]*cached{}
	var calls sync.WaitGroup
	defer calls.Wait()
	for in.Scan() {
		number, request, _ := strings.Cut(in.Text(), " ")
		calls.Go(func() { s.out.say("%s %s", number, s.do(ctx, request)) })
	}
	return in.Err()
}

func (s *server) do(ctx context.Context, request string) string {
	verb, rest, _ := strings.Cut(request, " ")
	if verb == "read" {
		return s.read(ctx, rest)
	}
	var stream, id string
	var expect int64
	if _, err := fmt.Sscan(rest, &stream, &expect, &id); err != nil {
		return refuse(fmt.Errorf("request %q: %w", request, err))
	}
	if s.bug == skipCheck {
		expect = int64(store.Any)
	}
	result, err := s.store.Append(ctx, stream, store.Expect(expect), banyan.Event{ID: id, Type: "fault.tried", Data: []byte("1")})
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &conflict):
		return fmt.Sprint("conflict ", int64(conflict.Have))
	case err != nil:
		return refuse(err)
	case result.Duplicate:
		return fmt.Sprint("again ", int64(result.Revision()))
	}
	return fmt.Sprint("done ", int64(result.Revision()))
}

// read answers with the ids of a stream, each followed by a blank.
func (s *server) read(ctx context.Context, stream string) string {
	if text, ok := s.stale(stream); ok {
		return text
	}
	var b strings.Builder
	b.WriteString("events ")
	for e, err := range s.store.Read(ctx, stream, store.ReadOptions{}) {
		if err != nil {
			return refuse(err)
		}
		b.WriteString(e.ID + " ")
	}
	if s.bug == staleReads {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cache[stream] = &cached{text: b.String()}
	}
	return b.String()
}

// stale is a cache that nobody tells of appends: each entry answers five times.
func (s *server) stale(stream string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cache[stream]
	if s.bug != staleReads || c == nil || c.uses == 5 {
		return "", false
	}
	c.uses++
	return c.text, true
}

func refuse(err error) string {
	word := "failed"
	switch {
	case errors.Is(err, banyan.ErrUnknown):
		word = "unknown"
	case errors.Is(err, banyan.ErrUnavailable):
		word = "unavailable"
	}
	return word + " " + strings.ReplaceAll(err.Error(), "\n", " ")
}
