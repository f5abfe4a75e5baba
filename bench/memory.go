package bench

import (
	"bytes"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"
)

// growth runs fn and returns by how many bytes the memory of the process grew
// at most meanwhile. It looks every few milliseconds.
func growth(fn func() error) (int64, error) {
	debug.FreeOSMemory()
	before := memory()
	most := before
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most = max(most, memory())
			case <-done:
				return
			}
		}
	}()
	err := fn()
	close(done)
	<-stopped
	return most - before, err
}

// memory is the resident memory of the process, which has what the database in
// it allocates; where the system does not tell it as Linux does, it is what the
// Go runtime holds.
func memory() int64 {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := bytes.Fields(b); len(fields) > 1 {
			if pages, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
