package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// fullDisks are R4: the disk is full for a while.
func fullDisks() []campaign {
	bugs := []string{"ack-failed"}
	return []campaign{
		{id: "R4-sqlite", what: "50 × a full disk of 16 MB, six of them ENOSPC by strace (root, Linux)", usual: "1 min", bugs: bugs, run: fullSQLite},
		{id: "R4-postgres", what: "50 × a full tablespace of 16 MB, six of them ENOSPC by strace on the server (root, Linux)", usual: "2 min", bugs: bugs, run: fullPostgres},
	}
}

const (
	fullRounds = 50
	diskSize   = 16 << 20
	fullPad    = 4000 // bytes of an event: the disk is full within seconds
	// resumeWithin is how long writing may take to go on after space came back.
	resumeWithin = 5 * time.Second
)

// fullRun is what both back ends have in common: a round fills the disk, looks,
// and makes space.
type fullRun struct {
	*env
	ledger *ledger
	disk   *tmpfs
	log    bool // the whole log can be read too
	rounds int
	acked  int
	fails  int
	slow   time.Duration // the longest time from space to writing
}

func (r *fullRun) outcome() outcome {
	did := fmt.Sprintf("%d full disks, %s appends refused; writing went on within %v", r.rounds, thousands(r.fails), r.slow.Round(time.Millisecond))
	return outcome{did: did, acked: r.acked}
}

// shortage is a lack of space that can be ended.
type shortage struct {
	end func() error
	// broken: the server falls over meanwhile, so nothing can be read.
	broken bool
}

// ballast takes space away so that left bytes remain.
func (r *fullRun) ballast(left int) (shortage, error) {
	file := filepath.Join(r.disk.path, "ballast")
	free, err := freeSpace(r.disk.path)
	if err == nil && free > left {
		err = os.WriteFile(file, make([]byte, free-left), 0o600)
	}
	return shortage{end: func() error { return os.Remove(file) }}, err
}

// fill waits until every writer has been refused, and some time more.
func (r *fullRun) fill(ctx context.Context, v *victim) error {
	full := func(l *ledger) bool {
		for _, a := range l.open {
			if !a.late {
				return v.ended()
			}
		}
		return l.life.fails > 0
	}
	if r.bug != "" { // the planted bug hides that there is no space
		full = func(l *ledger) bool { return l.life.acks > 10*diskSize/fullPad }
	}
	if !r.ledger.wait(ctx, time.Minute, full) {
		return fmt.Errorf("the disk did not get full within a minute; %d refused", r.ledger.now().fails)
	}
	r.ledger.wait(ctx, r.between(50*time.Millisecond, 500*time.Millisecond), func(*ledger) bool { return v.ended() })
	return ctx.Err()
}

// readable asks the victim for streams with acknowledged events, and the log.
func (r *fullRun) readable(ctx context.Context, v *victim) (faults []string) {
	wanted := r.ledger.sample(10)
	if acked, _ := r.ledger.counts(); r.log {
		wanted["*"] = int64(acked)
	}
	for stream, want := range wanted {
		v.say("read " + stream + "\n")
		var got string
		r.ledger.wait(ctx, 5*time.Second, func(l *ledger) bool {
			got = l.answer[stream]
			return got != "" || v.ended()
		})
		var n int64
		if _, err := fmt.Sscan(got, &n); err != nil || n < want {
			faults = append(faults, fmt.Sprintf("no space: stream %s has %d acknowledged events, reading it gives %q", stream, want, got))
		}
	}
	return faults
}

// resume ends the shortage and waits until all that was refused is done.
func (r *fullRun) resume(ctx context.Context, v *victim, s shortage) ([]string, error) {
	waiting := r.ledger.ids()
	if err := s.end(); err != nil {
		return nil, err
	}
	start := time.Now()
	if r.ledger.wait(ctx, resumeWithin, func(l *ledger) bool {
		for _, id := range waiting {
			if l.open[id] != nil {
				return v.ended()
			}
		}
		return true
	}) && !v.ended() {
		r.slow = max(r.slow, time.Since(start))
		return nil, nil
	}
	return []string{fmt.Sprintf("writing did not go on within %v of space", resumeWithin)}, ctx.Err()
}

// strike goes through one shortage: either writing goes on in the same process,
// or the process is killed first.
func (r *fullRun) strike(ctx context.Context, v *victim, s shortage, kill bool) (faults []string, err error) {
	if err := r.fill(ctx, v); err != nil {
		return nil, err
	}
	if !s.broken && !v.ended() {
		faults = r.readable(ctx, v)
	}
	if kill {
		err = v.kill()
		if e := s.end(); err == nil {
			err = e
		}
	} else {
		var found []string
		if found, err = r.resume(ctx, v, s); err == nil && len(found) == 0 {
			r.ledger.wait(ctx, r.between(10*time.Millisecond, 100*time.Millisecond), func(*ledger) bool { return v.ended() })
		}
		faults = append(faults, found...)
	}
	if v.ended() && !kill {
		faults = append(faults, "the writer gave up: "+v.complaint())
	}
	if e := v.kill(); err == nil {
		err = e
	}
	r.fails += r.ledger.now().fails
	return faults, err
}

// again starts a writer that sends again what is open, and ends it.
func (r *fullRun) again(ctx context.Context, db database) error {
	v, err := startVictim(ctx, r.victim, r.ledger, "-store", db.url(), "-pad", fmt.Sprint(fullPad), "-writers", "1")
	if err != nil {
		return err
	}
	v.say(r.ledger.handover(nil))
	if _, err := v.isReady(ctx); err != nil {
		return err
	}
	return v.kill()
}

// loop runs the rounds; each ninth has its ENOSPC from strace.
func (r *fullRun) loop(ctx context.Context, round func(ctx context.Context, number int, traced bool) ([]string, error)) (outcome, error) {
	var faults []string
	rounds := r.size(fullRounds)
	for i := range rounds {
		r.ledger = newLedger(fullPad)
		found, err := round(ctx, i, i%9 == 0)
		if err != nil {
			return outcome{}, fmt.Errorf("round %d: %w", i+1, err)
		}
		r.rounds++
		acked, _ := r.ledger.counts()
		r.acked += acked
		faults = append(faults, found...)
		if i%10 == 9 || i == rounds-1 {
			fmt.Printf("%d of %d full disks, %s acknowledged, %d faults\n", i+1, rounds, thousands(r.acked), len(faults))
		}
		if r.bug != "" && len(faults) > 0 {
			break
		}
	}
	o := r.outcome()
	o.faults = faults
	return o, nil
}
