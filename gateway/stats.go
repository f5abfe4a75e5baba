package gateway

import (
	"io"
	"math/bits"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan/internal/http1"
)

// stats counts the requests of a route.
type stats struct {
	inFlight  atomic.Int64
	statuses  [6]atomic.Int64 // by the first digit; 0: the connection ended before an answer
	fallbacks atomic.Int64
	took      histogram
}

// histogram of durations: four buckets for each power of two of nanoseconds, so
// that a quantile is at most a quarter too high.
type histogram struct {
	buckets [4 * 48]atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucket(d)].Add(1)
}

func bucket(d time.Duration) int {
	n := uint64(max(d, 4))
	power := bits.Len64(n) - 1
	return min(power*4+int(n>>(power-2)&3), 4*48-1)
}

// upper returns the end of a bucket.
func upper(i int) time.Duration {
	power, quarter := i/4, i%4
	return time.Duration(1)<<power + time.Duration(quarter+1)<<power/4
}

// quantile returns a duration that a share q of all are below.
func (h *histogram) quantile(q float64) time.Duration {
	var counts [4 * 48]int64
	var total int64
	for i := range h.buckets {
		counts[i] = h.buckets[i].Load()
		total += counts[i]
	}
	if total == 0 {
		return 0
	}
	rank, below := int64(q*float64(total-1)), int64(0)
	for i, n := range counts {
		if below += n; below > rank {
			return upper(i)
		}
	}
	return upper(len(counts) - 1)
}

// recorder is a ResponseWriter that remembers the status.
type recorder struct {
	http.ResponseWriter
	status int   // 0: no answer has begun
	bytes  int64 // of the body
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// CopyFrom implements http1.Copier.
func (w *recorder) CopyFrom(src io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := http1.Copy(w.ResponseWriter, src)
	w.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
