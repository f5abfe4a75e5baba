package demo

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

const reportEvery = 3 * time.Second

// progress shows how far the import is: as a bar on a terminal, elsewhere as one
// line every few seconds.
type progress struct {
	w     io.Writer
	total int
	bar   *progressbar.ProgressBar // nil: lines

	mu   sync.Mutex
	done int       // guarded by mu
	last time.Time // guarded by mu
}

func newProgress(w io.Writer, terminal bool, total int) *progress {
	p := &progress{w: w, total: total, last: time.Now()}
	if terminal {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("Importing invoices"), progressbar.OptionShowCount(),
			progressbar.OptionShowIts(), progressbar.OptionSetItsString("invoices"), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
	}
	return p
}

func (p *progress) one() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if p.bar != nil {
		_ = p.bar.Add(1) // to draw a bar badly is no reason to stop
		return
	}
	if now := time.Now(); now.Sub(p.last) >= reportEvery {
		p.last = now
		p.line()
	}
}

func (p *progress) line() {
	fmt.Fprintf(p.w, "Importing invoices: %d of %d (%d %%)\n", p.done, p.total, 100*p.done/max(p.total, 1))
}

// finish ends the bar, or says how far it came.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
		return
	}
	p.line()
}
