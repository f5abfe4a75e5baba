package siege_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/internal/pgtest"
)

// seen is a request as a server understood it.
type seen struct {
	Trace  string `json:"trace"`
	Method string `json:"method"`
	Target string `json:"target"`
	Body   string `json:"body"` // hexadecimal
	known  bool   // that this is its body
	status int    // of the answer; 0: none yet
}

// id is what a request is known by: the gateway passes it on.
func (s seen) id() string {
	if parts := strings.Split(s.Trace, "-"); len(parts) == 4 {
		return parts[1]
	}
	return s.Trace
}

// compared are the two views of what comes in.
type compared struct {
	mu     sync.Mutex
	number int
	front  map[string]*seen   // guarded by mu; by id: what the gateway took
	behind map[string][]*seen // guarded by mu: what the server behind saw
	wrong  faults
}

func newCompared() *compared {
	return &compared{front: map[string]*seen{}, behind: map[string][]*seen{}}
}

// saw is called with each request that arrived whole at the server behind.
func (c *compared) saw(s *seen) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.behind[s.id()] = append(c.behind[s.id()], s)
}

// watch stands before the gateway and gives each request its number. Of every
// second one it keeps the body; the others are left as they are, because the
// gateway sends a body on in another way if it is there already.
func (c *compared) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.number++
		id := fmt.Sprintf("%032x", c.number)
		s := &seen{Trace: id, Method: r.Method, Target: r.RequestURI}
		c.front[id] = s
		keep := c.number%2 == 0
		c.mu.Unlock()
		r.Header["Traceparent"] = []string{"00-" + id + "-00f067aa0ba902b7-01"}
		if keep && r.Body != http.NoBody {
			r.Body = &kept{ReadCloser: r.Body, of: c, as: s}
		}
		next.ServeHTTP(w, r)
	})
}

// kept is a body of which a copy is kept.
type kept struct {
	io.ReadCloser
	of *compared
	as *seen
}

func (k *kept) Read(p []byte) (int, error) {
	n, err := k.ReadCloser.Read(p)
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	k.as.Body += hex.EncodeToString(p[:n])
	k.as.known = true
	return n, err
}

// served notes how the gateway answered.
func (c *compared) served(s gateway.Served) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.front[s.Trace]; at != nil {
		at.status = s.Status
	}
}

// missing returns how many requests were answered that nobody behind has seen yet.
func (c *compared) missing() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for id, s := range c.front {
		if s.status == http.StatusOK && len(c.behind[id]) == 0 {
			n++
		}
	}
	return n
}

// judge compares, and returns the requests that were accepted.
func (c *compared) judge() int {
	for range 200 {
		if c.missing() == 0 {
			break
		}
		pause(10 * time.Millisecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, all := range c.behind {
		here := c.front[id]
		switch got := all[0]; {
		case here == nil:
			c.wrong.add(fmt.Sprintf("the server behind saw what the gateway did not: %+v", *got))
		case len(all) > 1:
			c.wrong.add(fmt.Sprintf("seen %d times: %+v", len(all), *got))
		case here.Method != got.Method || here.known && here.Body != got.Body || !sameTarget(here.Target, got.Target):
			c.wrong.add(fmt.Sprintf("the gateway read %+v, the server behind %+v", *here, *got))
		}
	}
	accepted := 0
	for id, s := range c.front {
		if s.status != http.StatusOK {
			continue
		}
		if accepted++; len(c.behind[id]) == 0 {
			c.wrong.add(fmt.Sprintf("answered, but not seen behind: %+v", *s))
		}
	}
	return accepted
}

// sameTarget: the path in its canonical form, the query byte for byte.
func sameTarget(sent, got string) bool {
	const scheme = "http://"
	if len(sent) >= len(scheme) && strings.EqualFold(sent[:len(scheme)], scheme) { // absolute form; a scheme has no case (RFC 3986 §3.1)
		rest := sent[len(scheme):]
		i := strings.IndexAny(rest, "/?")
		if i < 0 {
			i = len(rest)
		}
		if sent = rest[i:]; !strings.HasPrefix(sent, "/") {
			sent = "/" + sent
		}
	}
	path, query, _ := strings.Cut(sent, "?")
	canonical, err := gateway.Canonical(path, gateway.PathRules{})
	gotPath, gotQuery, _ := strings.Cut(got, "?")
	return err == nil && canonical == gotPath && query == gotQuery
}

// behindGo records with net/http.
func (c *compared) behindGo(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c.saw(&seen{Trace: r.Header.Get("Traceparent"), Method: r.Method, Target: r.RequestURI, Body: hex.EncodeToString(text)})
	_, _ = io.WriteString(w, r.RequestURI)
}

// behindPython records with Python's http.server.
func (c *compared) behindPython(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		pgtest.Require(t, "python3", "it is not in PATH")
	}
	cmd := exec.Command(python, "testdata/recorder.py")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	var at struct{ Port int }
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &at) != nil {
		t.Fatalf("the recorder does not begin: %q", lines.Text())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines.Scan() {
			s := new(seen)
			if err := json.Unmarshal(lines.Bytes(), s); err != nil {
				c.wrong.add(lines.Text())
			}
			c.saw(s)
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait() // it was killed
	})
	return fmt.Sprintf("http://127.0.0.1:%d", at.Port)
}

const nginxConfig = `daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 1000; }
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  client_max_body_size 0; underscores_in_headers on; merge_slashes off;
  server { listen %[2]s; location / { proxy_pass %[3]s; proxy_http_version 1.1; proxy_next_upstream off; } }
}
`

// behindNginx records what nginx passes on.
func (c *compared) behindNginx(t *testing.T, recorder string) string {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		pgtest.Require(t, "nginx", "it is not in PATH")
	}
	folder, address := t.TempDir(), freePort(t)
	file := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, folder, address, recorder), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-c", file, "-e", filepath.Join(folder, "first.log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it was told to end
	})
	for range 500 {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return "http://" + address
		}
		pause(10 * time.Millisecond)
	}
	text, _ := os.ReadFile(filepath.Join(folder, "error.log"))
	t.Fatalf("nginx does not begin: %s", text)
	return ""
}

// What the gateway takes for a request is one for the servers behind it, the same
// one and no other, whatever is sent.
func TestDifferential(t *testing.T) {
	t.Parallel()
	seed := long.Seed(t)
	for _, c := range []struct {
		name  string
		share int // of the inputs, in percent
		begin func(*compared, *testing.T) string
	}{
		{"Go", 70, nil},
		{"nginx", 20, nil},
		{"Python", 10, (*compared).behindPython},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			views := newCompared()
			var url string
			if c.begin != nil {
				url = c.begin(views, t)
			} else {
				s := httptest.NewServer(http.HandlerFunc(views.behindGo))
				t.Cleanup(s.Close)
				if url = s.URL; c.name == "nginx" {
					url = views.behindNginx(t, url)
				}
			}
			g, err := gateway.New(&gateway.Config{
				Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{url}}}, Routes: []gateway.Route{{Match: "/", To: "u"}},
			}, &gateway.Options{Hooks: gateway.Hooks{Served: views.served}})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			address := front(t, views.watch(g))
			inputs := long.Size(2_000, 1_000_000) * c.share / 100
			var next atomic.Int64
			var clients sync.WaitGroup
			for range 24 {
				clients.Go(func() {
					for i := next.Add(1); i <= int64(inputs); i = next.Add(1) {
						random := rand.New(rand.NewPCG(seed, uint64(i)))
						if err := throw(address, input(random, int(i)), random); err != nil {
							views.wrong.add(err.Error())
						}
					}
				})
			}
			clients.Wait()
			accepted := views.judge()
			different := views.wrong.report(t, "disagreements")
			if accepted < inputs/10 {
				t.Errorf("only %d requests of %d inputs were accepted: this shows little", accepted, inputs)
			}
			long.Report(t, "G27", "%s: %d inputs, %d requests taken, %d accepted and seen behind, %d disagreements", c.name, inputs, views.number, accepted, different)
		})
	}
}

// last is the end of every input, unless something before takes it for its own.
const last = "GET /the-end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// throw sends bytes in a few pieces and reads until nothing more comes.
func throw(address string, text string, random *rand.Rand) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	for pieces := random.IntN(3); pieces > 0 && text != ""; pieces-- {
		n := random.IntN(len(text) + 1)
		if _, err := io.WriteString(conn, text[:n]); err != nil {
			return nil // refused already
		}
		text = text[n:]
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return nil // refused already
	}
	got, answer := "", make([]byte, 4096)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(150 * time.Millisecond))
		n, err := conn.Read(answer)
		if got += string(answer[:n]); err != nil || strings.Contains(got, "/the-end") {
			return nil // the end, or it waits for more
		}
	}
}
