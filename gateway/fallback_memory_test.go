package gateway_test

import (
	"io"
	"net/http"
	"runtime"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// TestFallbackForgets: a body that goes to the fallback from its beginning is not
// kept in memory, however long it is.
func TestFallbackForgets(t *testing.T) { //nolint:paralleltest // it looks at what all allocate
	const size = 64 << 20
	spare := behind(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if n != size || err != nil {
			t.Errorf("the fallback got %d bytes, %v", n, err)
		}
		_, _ = io.WriteString(w, "spare")
	})
	c := to("http://127.0.0.1:1") // nothing listens
	c.Upstreams["spare"] = gateway.Upstream{Targets: []string{spare}}
	c.Routes[0].Fallback = &gateway.Fallback{To: "spare"}
	address := front(t, opened(t, c))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = size
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	runtime.ReadMemStats(&after)
	if string(text) != "spare" {
		t.Errorf("%s %s", resp.Status, text)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > size/4 {
		t.Errorf("a body of %d MiB took %d MiB", size>>20, took>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
