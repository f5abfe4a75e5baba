package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

const reportEvery = 3 * time.Second

// progress shows how far long work is: as a bar on a terminal, elsewhere (a log
// file, CI) as one line every few seconds. It is for one goroutine.
type progress struct {
	env  *env
	name string
	bar  *progressbar.ProgressBar // nil: lines
	last time.Time
}

func newProgress(e *env, name string) *progress {
	p := &progress{env: e, name: name, last: e.now()}
	if e.terminal {
		p.bar = progressbar.NewOptions64(1,
			progressbar.OptionSetWriter(e.stderr), progressbar.OptionSetDescription(name), progressbar.OptionShowCount(),
			progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
	}
	return p
}

// set says that at of total is done. The total may grow on the way.
func (p *progress) set(at, total int64) {
	total = max(at, total, 1)
	if p.bar != nil {
		p.bar.ChangeMax64(total + 1) // the bar is finished by done, not by a number
		_ = p.bar.Set64(at)          // to draw a bar badly is no reason to stop
		return
	}
	if now := p.env.now(); now.Sub(p.last) >= reportEvery {
		p.last = now
		fmt.Fprintf(p.env.stderr, "%s: %d of %d (%d %%)\n", p.name, at, total, 100*at/total)
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
