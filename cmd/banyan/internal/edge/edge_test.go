package edge

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// open reads a file with this text; nothing looks at it again but the test.
func open(t *testing.T, text string) (e *Edge, file string, log *bytes.Buffer) {
	t.Helper()
	file, log = filepath.Join(t.TempDir(), "banyan.yaml"), new(bytes.Buffer)
	put(t, file, text)
	e, err := Open(t.Context(), file, Options{Log: slog.New(slog.NewTextHandler(log, nil)), Every: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, file, log
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// routed reports whether a path has a route.
func (e *Edge) routed(path string) bool {
	return e.gateway.Match(httptest.NewRequest(http.MethodGet, "http://x"+path, http.NoBody)) != nil
}

const (
	head  = "listen: 127.0.0.1:0\nadmin: none\nupstreams: {u: 'http://127.0.0.1:1'}\nroutes:\n"
	one   = "  - {match: /one, to: u}\n"
	two   = "  - {match: /two, to: u}\n"
	wrong = "  - {match: /three, to: nobody}\n"
)

// Half a file may be right. It is taken over only when it does not change any
// more.
func TestChangedFileIsLookedAtTwice(t *testing.T) {
	e, file, _ := open(t, head+one)
	put(t, file, head+two) // somebody is still writing
	if e.reload(); e.routed("/two") || !e.routed("/one") {
		t.Error("half a file was taken over")
	}
	put(t, file, head+one+two)
	if e.reload(); e.routed("/two") {
		t.Error("a file that was still changing was taken over")
	}
	if e.reload(); !e.routed("/one") || !e.routed("/two") {
		t.Error("a changed file was not taken over when it was the same twice")
	}
}

// A file that is gone for a moment changes nothing, and neither does one with a
// mistake, which is said once.
func TestMissingAndWrongFilesChangeNothing(t *testing.T) {
	e, file, log := open(t, head+one)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	e.reload()
	if e.reload(); !e.routed("/one") || log.Len() > 0 {
		t.Errorf("a missing file: %s", log)
	}
	put(t, file, head+two+wrong)
	for range 4 {
		e.reload()
	}
	if n := strings.Count(log.String(), "the old one stays"); !e.routed("/one") || e.routed("/two") || n != 1 {
		t.Errorf("a wrong file was reported %d times: %s", n, log)
	}
	put(t, file, head+two)
	e.reload()
	if e.reload(); !e.routed("/two") || e.routed("/one") {
		t.Error("a mended file was not taken over")
	}
}
