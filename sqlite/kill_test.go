package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
)

// childEnv holds the file that the test binary writes to when it is run again as
// a child.
const childEnv = "BANYAN_SQLITE_CHILD"

// child appends for ever, from some goroutines, and prints each id once it is
// acknowledged.
func child(path string) error {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, path, nil)
	if err != nil {
		return err
	}
	s, err := db.Store(nil)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for w := range 4 {
		go func() {
			stream := fmt.Sprintf("%s-%d", banyan.NewID(), w)
			for {
				id := banyan.NewID()
				if _, err := s.Append(ctx, stream, store.Any, banyan.Event{ID: id, Type: "written", Data: dataOf(id)}); err != nil {
					failed <- err
				}
				// One write call, so that a line is whole or not there.
				if _, err := os.Stdout.WriteString(id + "\n"); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

// dataOf is the payload that belongs to an id, some of it long enough for pages
// of its own.
func dataOf(id string) []byte {
	return []byte(`"` + strings.Repeat(id, 1+int(id[len(id)-1])%200) + `"`)
}

// TestKilled is R1 in short: a process that is killed at any moment loses,
// doubles and changes nothing that it acknowledged.
func TestKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts and kills a process a dozen times; run without -short")
	}
	path := filepath.Join(t.TempDir(), "killed.db")
	var acknowledged []string
	const rounds = 12
	for range rounds {
		acknowledged = append(acknowledged, killedWriter(t, path, 20*time.Millisecond+rand.N(280*time.Millisecond))...)
		verifyKilled(t, path, acknowledged)
	}
	t.Logf("%d events acknowledged over %d kills", len(acknowledged), rounds)
	if len(acknowledged) < rounds {
		t.Errorf("only %d events were acknowledged: the test tests nothing", len(acknowledged))
	}
}

// killedWriter runs a child, kills it some time after its first acknowledgement,
// and returns what it acknowledged.
func killedWriter(t *testing.T, path string, after time.Duration) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if len(ids) == 0 {
			timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
		}
		ids = append(ids, lines.Text())
	}
	_ = cmd.Wait() // it was killed
	if stderr.Len() > 0 {
		t.Fatalf("the writer failed: %s", stderr.String())
	}
	return ids
}

func verifyKilled(t *testing.T, path string, acknowledged []string) {
	t.Helper()
	db := open(t, path, nil)
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for e, err := range s.All(t.Context(), 0, store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen[e.ID]++
		if !bytes.Equal(e.Data, dataOf(e.ID)) {
			t.Fatalf("event %s has other data than was written", e.ID)
		}
	}
	for _, id := range acknowledged {
		if seen[id] != 1 {
			t.Fatalf("event %s was acknowledged and is there %d times", id, seen[id])
		}
	}
	report, err := s.Verify(t.Context(), nil)
	if err != nil || !report.OK() {
		t.Fatalf("verify: %v %v", report.Faults, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
