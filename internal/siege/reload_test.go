package siege_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan/internal/long"
)

// versioned is a configuration that every answer can be recognised by: its path,
// its host and its server all say the version.
func versioned(servers []string, v int) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# version %d\nlisten: 127.0.0.1:0\nadmin: none\naccess_log: false\ncache: {megabytes: 1}\nupstreams:\n", v)
	for i, url := range servers {
		fmt.Fprintf(&out, "  s%d: {targets: ['%s'], max_idle: %d}\n", i, url, 16+v/7%3)
	}
	out.WriteString("routes:\n")
	for _, r := range []struct{ match, more string }{
		{"/", ""},
		{"/a/", ", retry: {attempts: 3}"},
		{"POST /b/", ", concurrency: {max: 1000}"},
		{"GET /b/{id}", ", limits: [{rate: 1000000/s burst 1000000, per: client}]"},
		{"/cached/", ", cache: {ttl: 1h}"},
	} {
		fmt.Fprintf(&out, "  - {match: '%s', to: s%d, add_prefix: /v%d, host: v%d.test%s}\n", r.match, v%len(servers), v, v, r.more)
	}
	for i := range v % 3 { // so that the log says which version it is about
		fmt.Fprintf(&out, "  - {match: '/other/%d', to: s%d, add_prefix: /v%d, host: v%d.test}\n", i, v%len(servers), v, v)
	}
	return out.String()
}

// logged is what the log says when a version is in force.
func logged(v int) string { return fmt.Sprintf(`"msg":"reloaded","routes":%d,`, 5+v%3) }

// invalid are files that must not be taken over, made of one that could be.
func invalid(good string, random *rand.Rand) string {
	switch random.IntN(6) {
	case 0:
		return ""
	case 1:
		return good[:len(good)-3] // in the middle of a word
	case 2:
		return strings.Replace(good, "routes:", "rotues:", 1)
	case 3:
		return strings.ReplaceAll(good, "to: s", "to: none")
	case 4:
		return good + "  - {match: '/', to: s0}\n" // twice the same
	}
	return strings.Replace(good, "max_idle: 1", "max_idle: -1", 1)
}

// version is what an answer says of the configurations that made it.
func version(body string) (int, error) {
	var server, path, host int
	if _, err := fmt.Sscanf(body, "server %d path /v%d/", &server, &path); err != nil {
		return 0, fmt.Errorf("%q: %w", body, err)
	}
	_, rest, _ := strings.Cut(body, " host ")
	if _, err := fmt.Sscanf(rest, "v%d.test", &host); err != nil {
		return 0, fmt.Errorf("%q: %w", body, err)
	}
	if host != path || server != path%4 {
		return 0, fmt.Errorf("mixed: %s", body)
	}
	return path, nil
}

// reloading is a gateway whose file changes, and what its clients find.
type reloading struct {
	gateway *process
	floor   atomic.Int64 // the version that was in force when its taking over was logged
	asked   atomic.Int64
	wrong   faults
	over    chan struct{}
}

// client asks until it is over.
func (r *reloading) client(id int) {
	c := &caller{address: r.gateway.addr}
	defer c.close()
	for n := 0; ; n++ {
		select {
		case <-r.over:
			return
		default:
		}
		floor := r.floor.Load()
		target := [...]string{"/", "/a/x?q=1", "/b/7", "/cached/" + strconv.Itoa(n/64%8), "/other/thing"}[n%5]
		if id < 3 { // answers that are late for their own configuration, and stored
			target = "/cached/slow/" + strconv.Itoa(n%5)
		}
		request := "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n"
		if n%11 == 0 {
			request = "POST /b/" + strconv.Itoa(id) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
		}
		resp, body, _, err := c.do(request)
		r.asked.Add(1)
		if err != nil || resp.StatusCode != http.StatusOK {
			r.wrong.add(fmt.Sprintf("%s: %v %s", target, err, body))
			continue
		}
		v, err := version(body)
		switch {
		case err != nil:
			r.wrong.add(target + ": " + err.Error())
		case int64(v) < floor:
			r.wrong.add(fmt.Sprintf("%s: an answer of version %d after %d was taken over", target, v, floor))
		}
	}
}

// A changed file is taken over whole or not at all: every answer is made by one
// configuration, none by an older one than was in force when it was asked for,
// and none fails.
func TestReload(t *testing.T) {
	t.Parallel()
	reloads := long.Size(12, 200)
	requests := int64(long.Size(1_000, 500_000))
	random := rand.New(rand.NewPCG(long.Seed(t), 31))
	servers := make([]string, 4)
	for i := range servers {
		servers[i] = behind(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/slow/") {
				pause(20 * time.Millisecond)
			}
			fmt.Fprintf(w, "server %d path %s host %s", i, r.URL.Path, r.Host)
		})
	}
	file := write(t, versioned(servers, 0))
	r := &reloading{gateway: start(t, file, "--reload-every=5ms"), over: make(chan struct{})}
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() { r.client(i) })
	}
	refused := 0
	for v := 1; v <= reloads; v++ {
		for r.asked.Load() < requests*int64(v)/int64(reloads) && !t.Failed() {
			pause(time.Millisecond)
		}
		good := versioned(servers, v)
		if v%4 == 0 {
			refused++
			r.refuses(t, file, invalid(good, random), v)
		}
		r.takes(t, file, good, v)
		if t.Failed() {
			break
		}
	}
	close(r.over)
	clients.Wait()
	failed := r.wrong.report(t, "requests failed or were mixed")
	if err := r.gateway.stop(t); err != nil {
		t.Errorf("the gateway ended with %v", err)
	}
	long.Report(t, "R31", "%d reloads and %d invalid files under %d requests: %d failed or mixed", reloads, refused, r.asked.Load(), failed)
}

// takes changes the file, in one of two ways, and waits until it is in force.
func (r *reloading) takes(t *testing.T, file, text string, v int) {
	t.Helper()
	n := r.gateway.said()
	replace(t, file, text, v%2 == 0)
	// Written in place, the file may be seen half: it is refused then and seen again.
	if _, ok := r.gateway.await(n, patience, logged(v)); !ok {
		t.Fatalf("version %d was not taken over: %s", v, r.gateway.log())
	}
	r.floor.Store(int64(v))
}

// refuses changes the file to one that is wrong.
func (r *reloading) refuses(t *testing.T, file, text string, v int) {
	t.Helper()
	n := r.gateway.said()
	replace(t, file, text, true)
	line, ok := r.gateway.await(n, patience, logged(v), "the old one stays")
	if !ok || strings.Contains(line, `"msg":"reloaded"`) {
		t.Fatalf("the gateway does not refuse it: %s\n%s", r.gateway.log(), text)
	}
	var exit *exec.ExitError
	out, err := exec.Command(command(t), "check", "-c", file).CombinedOutput()
	if !errors.As(err, &exit) || exit.ExitCode() == 0 {
		t.Errorf("banyan check of an invalid file: %v: %s", err, out)
	}
}

// replace changes a file at once by a rename, or in place.
func replace(t *testing.T, file, text string, rename bool) {
	t.Helper()
	to := file
	if rename {
		to = filepath.Join(filepath.Dir(file), "next")
	}
	if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if rename {
		if err := os.Rename(to, file); err != nil {
			t.Fatal(err)
		}
	}
}

// pause lets others go on.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}
