// Command victim is the part of the fault runs that uses Banyan: internal/faults
// starts it, strikes, and checks what is left with the bare driver.
//
// As a writer it first reads from standard input the appends whose outcome the
// run before left open, one "ID STREAM" a line up to an empty line, opens the
// store, and sends them again with the same ids. Then writers append for ever.
// On standard output it says "ready", "try ID STREAM" before an append, "ack ID
// STREAM REVISION" after it and, with -survive, "fail ID KIND TEXT" when it
// failed, before it sends the same again. The line "read STREAM" on standard
// input asks what can be read, "*" being the log; the answer is "have STREAM
// COUNT" or "unread STREAM TEXT".
//
// With -serve it does what standard input says, see serve.go.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
)

type options struct {
	url     string
	writers int
	pad     int
	survive bool
	pin     bool
	serve   bool
	bug     string
}

// The planted bugs.
const (
	ackEarly   = "ack-early"   // acknowledge before the append returns
	ackFailed  = "ack-failed"  // acknowledge an append that failed
	noSync     = "no-sync"     // accept commits that are answered before they are on disk
	skipCheck  = "skip-check"  // do not say which revision is expected
	staleReads = "stale-reads" // answer reads from a cache
)

func main() {
	var o options
	flag.StringVar(&o.url, "store", "", "sqlite:FILE or postgres://…")
	flag.IntVar(&o.writers, "writers", 8, "concurrent writers")
	flag.IntVar(&o.pad, "pad", 100, "bytes that make an event larger")
	flag.BoolVar(&o.survive, "survive", false, "send an append that failed again instead of ending")
	flag.BoolVar(&o.pin, "pin", false, "write on one thread of the system, so that its calls can be numbered")
	flag.BoolVar(&o.serve, "serve", false, "do what standard input says")
	flag.StringVar(&o.bug, "bug", "", "plant a bug: "+strings.Join([]string{ackEarly, ackFailed, noSync, skipCheck, staleReads}, ", "))
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	out := &output{w: bufio.NewWriter(os.Stdout)}
	in := bufio.NewScanner(os.Stdin)
	var open []event
	if !o.serve {
		open = handedOver(in)
	}
	s, err := connect(ctx, o)
	if err != nil {
		return err
	}
	if o.serve {
		out.say("ready")
		return (&server{store: s, bug: o.bug, out: out}).run(ctx, in)
	}
	w := &writer{options: o, store: s, out: out}
	if err := w.resend(ctx, open); err != nil {
		return fmt.Errorf("resend: %w", err)
	}
	out.say("ready")
	g, ctx := errgroup.WithContext(ctx)
	for range o.writers {
		g.Go(func() error { return w.run(ctx) })
	}
	g.Go(func() error { return w.answer(ctx, in) })
	return g.Wait()
}

// connect opens the store, with -pin on the one thread that will write.
func connect(ctx context.Context, o options) (s *store.Store, err error) {
	if !o.pin {
		return open(ctx, o)
	}
	p := pin()
	p.do(func() {
		var db *sqlite.DB
		if db, err = sqlite.Open(ctx, strings.TrimPrefix(o.url, "sqlite:"), nil); err != nil {
			return
		}
		s, err = store.New(pinned{Backend: db.Backend(), thread: p}, nil)
	})
	return s, err
}

func open(ctx context.Context, o options) (*store.Store, error) {
	if file, ok := strings.CutPrefix(o.url, "sqlite:"); ok {
		db, err := sqlite.Open(ctx, file, &sqlite.Options{UnsafeNoSync: o.bug == noSync})
		if err != nil {
			return nil, err
		}
		return db.Store(nil)
	}
	db, err := postgres.Open(ctx, o.url, &postgres.Options{Unsafe: o.bug == noSync})
	if err != nil {
		return nil, err
	}
	return db.Store(nil)
}

// output writes whole lines.
type output struct {
	mu sync.Mutex
	w  *bufio.Writer // guarded by mu
}

func (o *output) say(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.w, format+"\n", args...)
	_ = o.w.Flush() // nobody to tell when the reader is gone
}

// thread runs functions one by one on one thread of the system. strace numbers
// the calls of each thread by itself; so number n is that of the process.
type thread struct{ work chan func() }

func pin() thread {
	t := thread{work: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for fn := range t.work {
			fn()
		}
	}()
	return t
}

func (t thread) do(fn func()) {
	done := make(chan struct{})
	t.work <- func() { fn(); close(done) }
	<-done
}

// pinned is a back end that appends on one thread.
type pinned struct {
	store.Backend
	thread thread
}

func (p pinned) Append(ctx context.Context, commits []store.Commit) (outcomes []store.Outcome, err error) {
	p.thread.do(func() { outcomes, err = p.Backend.Append(ctx, commits) })
	return outcomes, err
}

// event is one to be written. mark is what its data says; it is the id, unless
// the run hands an append over under another one, which is a planted bug.
type event struct{ id, stream, mark string }

func (e event) banyan(pad int) banyan.Event {
	return banyan.Event{ID: e.id, Type: "fault.tried", Data: []byte(`{"id":"` + e.mark + `","pad":"` + strings.Repeat("x", pad) + `"}`)}
}
