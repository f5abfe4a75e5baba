package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/banyanhq/banyan/internal/pgtest"
)

// crashes are R1 and R2: writers, or also the server, or the power of the
// machine, end in the middle of the work.
func crashes() []campaign {
	return []campaign{
		crash("R1-sqlite", "kill -9 of the writer", "8 min", []string{"ack-early"},
			crashPlan{rounds: 500, least: 50 * time.Millisecond, most: 700 * time.Millisecond}),
		crash("R1-postgres", "kill -9 of the server and the writer", "8 min", []string{"ack-early"},
			crashPlan{rounds: 500, least: 50 * time.Millisecond, most: 500 * time.Millisecond, server: true}),
		crash("R2-sqlite", "power cuts (root, Linux)", "6 min", []string{"no-sync"},
			crashPlan{rounds: 1000, least: 20 * time.Millisecond, most: 250 * time.Millisecond, power: true}),
		crash("R2-postgres", "power cuts (root, Linux)", "3 min", []string{"no-sync"},
			crashPlan{rounds: 200, least: 50 * time.Millisecond, most: 500 * time.Millisecond, server: true, power: true}),
	}
}

type crashPlan struct {
	rounds      int
	least, most time.Duration // between faults
	server      bool          // PostgreSQL
	power       bool
}

func crash(id, what, usual string, bugs []string, p crashPlan) campaign {
	return campaign{id: id, what: thousands(p.rounds) + " × " + what, usual: usual, bugs: bugs, run: func(ctx context.Context, e *env) (outcome, error) {
		return (&crashRun{env: e, crashPlan: p, ledger: newLedger(100)}).run(ctx)
	}}
}

type crashRun struct {
	*env
	crashPlan
	ledger *ledger
	mount  *loopMount     // nil: kills only
	pg     *pgtest.Server // nil: SQLite
	db     database
	starts []time.Duration // from start to ready
}

func (c *crashRun) run(ctx context.Context) (o outcome, err error) {
	if err := c.open(ctx); err != nil {
		return o, errors.Join(err, c.close())
	}
	rounds := c.size(c.rounds)
	for i := range rounds {
		if err := c.round(ctx); err != nil {
			return o, errors.Join(fmt.Errorf("round %d: %w", i+1, err), c.close())
		}
		if !checkAfter(i+1, rounds) {
			continue
		}
		o.faults, err = check(ctx, c.db, c.ledger)
		acked, open := c.ledger.counts()
		fmt.Printf("%d of %d faults, %s acknowledged, %d open\n", i+1, rounds, thousands(acked), open)
		o.acked, o.did = acked, c.did(i+1)
		if err != nil || len(o.faults) > 0 {
			break
		}
	}
	return o, errors.Join(err, c.close())
}

// checkAfter says whether the whole history is checked after a round: not after
// each, as that takes longer than the round itself when there is much of it.
func checkAfter(round, rounds int) bool {
	every := 10
	if round > 50 {
		every = 50
	}
	return round%every == 0 || round == rounds
}

func (c *crashRun) did(rounds int) string {
	slices.Sort(c.starts)
	word := "kills"
	if c.power {
		word = "power cuts"
	}
	return fmt.Sprintf("%s %s; start to ready p99 %v", thousands(rounds), word, c.starts[len(c.starts)*99/100].Round(time.Millisecond))
}

func (c *crashRun) open(ctx context.Context) (err error) {
	dir := c.dir
	if c.power {
		if c.mount, err = newLoopMount(dir); err != nil {
			return err
		}
		dir = c.mount.path
	}
	if !c.server {
		c.db = sqliteFile(filepath.Join(dir, "victim.db"))
		return nil
	}
	settings := map[string]string{"synchronous_commit": "on"}
	if c.bug == "no-sync" {
		settings["synchronous_commit"] = "off" // PostgreSQL then promises what the disk has not
	}
	if c.pg, err = openServer(ctx, dir, settings); err == nil {
		c.db = postgresDSN(c.pg.DSN("victim"))
	}
	return err
}

func (c *crashRun) close() (err error) {
	if c.pg != nil {
		err = c.pg.Close()
	}
	if c.mount != nil {
		err = errors.Join(err, c.mount.close())
	}
	return err
}

// round starts the victim, lets it write for a random time, and strikes.
func (c *crashRun) round(ctx context.Context) error {
	v, err := startVictim(ctx, c.victim, c.ledger, "-store", c.db.url(), "-bug", c.bug)
	if err != nil {
		return err
	}
	v.say(c.ledger.handover(nil))
	took, err := v.isReady(ctx)
	if err != nil {
		return err
	}
	c.starts = append(c.starts, took)
	select {
	case <-time.After(c.between(c.least, c.most)):
	case <-v.done:
		return fmt.Errorf("the victim ended by itself: %s", v.complaint())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), v.kill())
	}
	err = c.strike(v)
	c.ledger.setDark(false)
	return errors.Join(err, c.recover())
}

// strike ends the server first, so that the victim meets broken connections, and
// then the victim.
func (c *crashRun) strike(v *victim) (err error) {
	if c.mount != nil {
		c.ledger.setDark(true)
		err = c.mount.cut()
	}
	if c.pg != nil {
		err = errors.Join(err, c.pg.Kill())
	}
	return errors.Join(err, v.kill())
}

func (c *crashRun) recover() error {
	if c.mount != nil {
		if err := c.mount.again(); err != nil {
			return err
		}
	}
	if c.pg != nil {
		return c.pg.Start()
	}
	return nil
}
