package acme_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway/acme"
)

// otherGateway makes the test binary a gateway of its own: it holds the
// configuration.
const otherGateway = "BANYAN_ACME_OTHER"

// beOther runs a manager without any listener, until standard input ends.
func beOther(text string) int {
	var c acme.Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return 2
	}
	m, err := acme.New(&c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := m.Run(ctx); err != nil {
		return 1
	}
	return 0
}

// Two processes with one folder: one of them asks, and the challenge comes to the
// other, which answers it from the folder. Then both have the certificate.
func TestSharedStorage(t *testing.T) {
	t.Parallel()
	l, port := listener(t)
	ca := startAuthority(t, options{httpPort: 1, tlsPort: port})
	config := ca.config(t, "shared.test")
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), otherGateway+"="+string(text))
	log := &journal{}
	other.Stderr = log
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := other.Wait(); err != nil {
			t.Errorf("the other gateway: %v\n%s", err, log.String())
		}
	})
	for end := time.Now().Add(30 * time.Second); !asking(config) && time.Now().Before(end); {
		<-time.After(5 * time.Millisecond)
	}
	m, own, _ := manage(t, config, time.Minute)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	eventually(t, l.Addr().String(), "shared.test", ca.roots)
	if own.count("distributed=true") == 0 {
		t.Error("no challenge of the other gateway was answered")
	}
	if own.count("renewal=false") != 0 || log.count("renewal=false") != 1 {
		t.Error("both have asked")
	}
}

// asking reports whether a process has the lock to ask for a certificate.
func asking(c *acme.Config) bool {
	locks, _ := filepath.Glob(filepath.Join(c.Storage, "locks", "*shared.test*"))
	return len(locks) > 0
}
