package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// fsyncErrors are R3: fsync number n fails with EIO, once or from then on.
func fsyncErrors() []campaign {
	bugs := []string{renamed}
	return []campaign{
		{id: "R3-sqlite", what: "400 × EIO at fsync 1…200 of the writer, once and for ever (strace)", usual: "3 min", bugs: bugs, run: fsyncSQLite},
		{id: "R3-postgres", what: "400 × EIO at fsync 1…200 of a server process, once and for ever (strace)", usual: "4 min", bugs: bugs, run: fsyncPostgres},
	}
}

// renamed is the planted bug of R3: an append whose outcome is unknown is taken
// for failed, and sent again under a new id.
const renamed = "new-ids"

// highest is the largest number of an fsync that fails.
const highest = 200

// ioPlan says which fsync fails.
type ioPlan struct {
	number  int
	forever bool
}

func (p ioPlan) String() string {
	if p.forever {
		return fmt.Sprintf("every fsync from number %d fails", p.number)
	}
	return fmt.Sprintf("fsync number %d fails", p.number)
}

// ioPlans returns the numbers, all of them at full size, once and for ever.
func ioPlans(e *env) (plans []ioPlan) {
	for _, n := range e.random.Perm(highest)[:min(e.size(highest), highest)] {
		plans = append(plans, ioPlan{number: n + 1}, ioPlan{number: n + 1, forever: true})
	}
	return plans
}

// ioRun is what both back ends have in common.
type ioRun struct {
	*env
	ledger *ledger
	db     database

	// figures
	rounds, acked, heard, starting, unheard int
}

func (r *ioRun) outcome() outcome {
	did := fmt.Sprintf("%d I/O errors: %d heard as outcome unknown, %d while the store opened, %d unheard", r.rounds, r.heard, r.starting, r.unheard)
	return outcome{did: did, acked: r.acked}
}

// goesOn is how many appends that failed, or came after a failure, have to be
// acknowledged to show that writing goes on.
const goesOn = 16

// observe watches a writer from the moment of the error to the end of its life.
// commit: the error was in a commit, so that somebody must have heard of it.
// SQLite does not report one in a checkpoint, nor of the sync of a folder.
func (r *ioRun) observe(ctx context.Context, p ioPlan, v *victim, commit bool, recovery time.Duration) (faults []string, err error) {
	base := r.ledger.now().acks
	if p.forever {
		r.ledger.wait(ctx, 5*time.Second, func(l *ledger) bool { return l.life.fails > 0 || v.ended() })
		r.ledger.wait(ctx, 200*time.Millisecond, func(*ledger) bool { return v.ended() })
	} else if !r.ledger.wait(ctx, recovery, func(l *ledger) bool {
		return v.ended() || len(l.life.late) >= goesOn || l.life.fails == 0 && l.life.acks >= base+5*goesOn
	}) {
		faults = append(faults, fmt.Sprintf("%v: writing did not go on within %v", p, recovery))
	}
	opened, ended := isClosed(v.ready), v.ended()
	if err := v.kill(); err != nil {
		return nil, err
	}
	life := r.ledger.now()
	switch {
	case !opened:
		r.starting++
	case life.unknowns > 0:
		r.heard++
	default:
		r.unheard++
	}
	if opened && ended {
		faults = append(faults, fmt.Sprintf("%v: the writer gave up: %s", p, v.complaint()))
	}
	if opened && commit && life.unknowns == 0 {
		faults = append(faults, fmt.Sprintf("%v: it was a commit, and nobody heard that the outcome is unknown (%d failures heard)", p, life.fails))
	}
	if p.forever && len(life.late) > 0 {
		faults = append(faults, fmt.Sprintf("%v: %d appends were acknowledged after the error, the first is %s", p, len(life.late), life.late[0]))
	}
	return faults, ctx.Err()
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// again starts a writer without faults, which sends the open appends again, and
// kills it when it has written a little.
func (r *ioRun) again(ctx context.Context, args ...string) ([]string, error) {
	v, err := startVictim(ctx, r.victim, r.ledger, append(args, "-store", r.db.url())...)
	if err != nil {
		return nil, err
	}
	var rename func(string) string
	if r.bug == renamed {
		rename = func(id string) string { return id + "-again" }
	}
	v.say(r.ledger.handover(rename))
	if _, err := v.isReady(ctx); err != nil {
		return nil, err
	}
	wrote := r.ledger.wait(ctx, 10*time.Second, func(l *ledger) bool { return l.life.acks >= goesOn })
	if err := v.kill(); err != nil {
		return nil, err
	}
	if !wrote {
		return []string{"after a restart without faults nothing was written within 10 s: " + v.complaint()}, nil
	}
	return nil, nil
}

// until waits for the error.
func until(ctx context.Context, t *tracer, v *victim) error {
	ended := v.done
	for patience := time.After(time.Minute); ; {
		select {
		case <-t.hit:
			return nil
		case <-ended: // strace may have to say yet that this was why
			ended, patience = nil, time.After(time.Second)
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			if v.ended() {
				return fmt.Errorf("the victim ended before the call that was to fail: %s", v.complaint())
			}
			return errors.New("the call that was to fail did not come within a minute")
		}
	}
}

func fsyncSQLite(ctx context.Context, e *env) (outcome, error) {
	r := &ioRun{env: e}
	plans := ioPlans(e)
	var faults []string
	for i, p := range plans {
		found, err := r.sqliteRound(ctx, p)
		if err != nil {
			return outcome{}, fmt.Errorf("%v: %w", p, err)
		}
		r.rounds++
		acked, _ := r.ledger.counts()
		r.acked += acked
		faults = append(faults, found...)
		if i%20 == 19 || i == len(plans)-1 {
			fmt.Printf("%d of %d errors, %s acknowledged, %d faults\n", i+1, len(plans), thousands(r.acked), len(faults))
		}
	}
	o := r.outcome()
	o.faults = faults
	return o, nil
}

// sqliteRound has a new file, so that the numbers begin with its creation. The
// writer commits on one thread: strace then numbers the calls of the process.
func (r *ioRun) sqliteRound(ctx context.Context, p ioPlan) (faults []string, err error) {
	file := sqliteFile(filepath.Join(r.dir, fmt.Sprintf("%d-%v.db", p.number, p.forever)))
	defer file.remove()
	r.db, r.ledger = file, newLedger(100)
	v, err := startVictim(ctx, r.victim, r.ledger, "-store", file.url(), "-survive", "-pin")
	if err != nil {
		return nil, err
	}
	when := fmt.Sprint(p.number)
	if p.forever {
		when += "+"
	}
	t, err := attach(ctx, "fsync,fdatasync:error=EIO:when="+when, v.cmd.Process.Pid)
	if err != nil {
		return nil, errors.Join(err, v.kill())
	}
	v.say(r.ledger.handover(nil))
	if err := until(ctx, t, v); err != nil {
		return nil, errors.Join(err, v.kill(), t.detach())
	}
	// The WAL is synced for a commit when there is something new in it; for a
	// checkpoint also when there is not.
	first := t.first()
	commit := first.dirty && first.path == string(file)+"-wal"
	faults, err = r.observe(ctx, p, v, commit, 5*time.Second)
	if err = errors.Join(err, t.detach()); err != nil {
		return nil, err
	}
	if isClosed(v.ready) {
		found, err := r.checkCopy(ctx, file)
		if err != nil {
			return nil, err
		}
		faults = append(faults, found...)
	}
	found, err := r.again(ctx)
	if err != nil {
		return nil, err
	}
	last, err := check(ctx, file, r.ledger)
	return slices.Concat(faults, found, last), err
}

// checkCopy looks at a copy before anything is sent again: reading the file
// itself would repair what a restart has to.
func (r *ioRun) checkCopy(ctx context.Context, file sqliteFile) ([]string, error) {
	to := sqliteFile(filepath.Join(r.dir, "copy.db"))
	defer to.remove()
	if err := file.copy(to); err != nil {
		return nil, err
	}
	return check(ctx, to, r.ledger)
}
