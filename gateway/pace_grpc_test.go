package gateway_test

import (
	"bytes"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestFalseCalls: who calls a request gRPC, and takes nothing of an answer that is
// not, loses the stream as others do. A real one may wait for hours.
func TestFalseCalls(t *testing.T) {
	t.Parallel()
	const call = "application/grpc"
	big := bytes.Repeat([]byte("x"), 1<<20)
	for name, c := range map[string]struct {
		answer string
		held   bool
	}{"false": {"text/plain", false}, "gRPC": {call + "+proto", true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan bool)
				client := overTwo(t, func(w http.ResponseWriter, _ *http.Request) {
					defer close(ended)
					w.Header().Set("Content-Type", c.answer)
					for {
						if _, err := w.Write(big); err != nil {
							return
						}
					}
				})
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", call)
				resp, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				time.Sleep(3 * time.Hour) // of the bubble
				select {
				case <-ended:
					if c.held {
						t.Error("a call of gRPC was ended")
					}
				default:
					if !c.held {
						t.Error("the handler is still held")
					}
				}
				_ = resp.Body.Close()
				<-ended
			})
		})
	}
}
