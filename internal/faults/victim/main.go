// Command victim writes events until it is killed. It is the part of the fault
// runs that uses Banyan; internal/faults starts it, kills it, and checks what is
// left with the bare driver.
//
// It reads from standard input the appends whose outcome the run before left
// open, one "id stream" a line up to an empty line, and sends them again with
// the same ids. Then writers append for ever. On standard output it says "ready",
// "try ID STREAM" before an append, and "ack ID STREAM REVISION" after it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
)

func main() {
	url := flag.String("store", "", "sqlite:FILE or postgres://…")
	writers := flag.Int("writers", 8, "concurrent writers")
	weak := flag.Bool("ack-before-commit", false, "a planted bug: acknowledge before the append returns")
	noSync := flag.Bool("no-sync", false, "a planted bug: accept commits that are answered before they are on disk")
	flag.Parse()
	if err := run(context.Background(), *url, *writers, *weak, *noSync); err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string, writers int, weak, noSync bool) error {
	s, err := open(ctx, url, noSync)
	if err != nil {
		return err
	}
	v := &victim{store: s, weak: weak, out: bufio.NewWriter(os.Stdout)}
	if err := v.resend(ctx, os.Stdin); err != nil {
		return fmt.Errorf("resend: %w", err)
	}
	v.say("ready")
	g, ctx := errgroup.WithContext(ctx)
	for range writers {
		g.Go(func() error { return v.write(ctx) })
	}
	return g.Wait()
}

func open(ctx context.Context, url string, noSync bool) (*store.Store, error) {
	if file, ok := strings.CutPrefix(url, "sqlite:"); ok {
		db, err := sqlite.Open(ctx, file, &sqlite.Options{UnsafeNoSync: noSync})
		if err != nil {
			return nil, err
		}
		return db.Store(nil)
	}
	db, err := postgres.Open(ctx, url, &postgres.Options{Unsafe: noSync})
	if err != nil {
		return nil, err
	}
	return db.Store(nil)
}

type victim struct {
	store *store.Store
	weak  bool
	mu    sync.Mutex
	out   *bufio.Writer // guarded by mu
}

func (v *victim) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintf(v.out, format+"\n", args...)
	_ = v.out.Flush() // nobody to tell when the reader is gone
}

// resend sends open appends again. Their ids decide whether they are new.
func (v *victim) resend(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() && lines.Text() != "" {
		id, stream, _ := strings.Cut(lines.Text(), " ")
		result, err := v.store.Append(ctx, stream, store.Any, event(id))
		if err != nil {
			return err
		}
		v.say("ack %s %s %d", id, stream, result.Revision())
	}
	return lines.Err()
}

// perStream is how many events a stream gets before its writer begins another.
const perStream = 20

func (v *victim) write(ctx context.Context) error {
	for {
		stream := "s-" + banyan.NewID()
		for revision := range banyan.Revision(perStream) {
			id := banyan.NewID()
			v.say("try %s %s", id, stream)
			if v.weak {
				v.say("ack %s %s %d", id, stream, revision+1)
			}
			result, err := v.store.Append(ctx, stream, store.Exact(revision), event(id))
			if err != nil {
				return err
			}
			if result.Duplicate {
				return errors.New("a new id was taken for a repetition")
			}
			if !v.weak {
				v.say("ack %s %s %d", id, stream, result.Revision())
			}
		}
	}
}

// event has data that the checker can compute from the id alone.
func event(id string) banyan.Event {
	return banyan.Event{ID: id, Type: "fault.tried", Data: []byte(`{"id":"` + id + `","pad":"` + strings.Repeat("x", 100) + `"}`)}
}
