package siege_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/banyanhq/banyan/internal/long"
)

// attack is one way to make a gateway remember or unpack too much. It returns what
// it was answered, 0 if that does not matter.
type attack struct {
	name string
	once func(c *http.Client, address string, r *rand.Rand) (status int, err error)
	want []int // what is right
}

var attacks = []attack{
	{"limiter keys", func(c *http.Client, address string, r *rand.Rand) (int, error) {
		return send(c, "GET", "http://"+address+"/limited", nil, "X-Key", fmt.Sprint(r.Uint64()))
	}, []int{200}},
	{"cache keys", func(c *http.Client, address string, r *rand.Rand) (int, error) {
		return send(c, "GET", fmt.Sprintf("http://%s/cached/%d", address, r.Uint64()), nil)
	}, []int{200}},
	{"bombs", func(c *http.Client, address string, _ *rand.Rand) (int, error) {
		return send(c, "POST", "http://"+address+"/zip", bomb(), "Content-Encoding", "gzip")
	}, []int{413}},
	{"large headers", func(c *http.Client, address string, r *rand.Rand) (int, error) {
		return send(c, "GET", "http://"+address+"/good", nil, "X-Fill", strings.Repeat("x", 20_000+r.IntN(20_000)))
	}, []int{200, 431}},
	{"deep JSON", func(c *http.Client, address string, _ *rand.Rand) (int, error) {
		return send(c, "POST", "http://"+address+"/json", []byte(strings.Repeat(`{"a":[`, 100_000)), "Content-Type", "application/json")
	}, []int{400, 413, 422}},
	{"resets", func(_ *http.Client, address string, _ *rand.Rand) (int, error) { return 0, resets(address) }, []int{0}},
}

func send(c *http.Client, method, url string, body []byte, header ...string) (int, error) {
	r, err := http.NewRequest(method, url, bytes.NewReader(body)) //nolint:noctx // the client has a timeout
	if err != nil {
		return 0, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// bomb is 100 kB that become 100 MB.
var bomb = sync.OnceValue(func() []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	zeros := make([]byte, 1<<20)
	for range 100 {
		_, _ = w.Write(zeros)
	}
	_ = w.Close()
	return out.Bytes()
})

// resets opens streams and gives each up at once (CVE-2023-44487), until the
// gateway has had enough, or a thousand times.
func resets(address string) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	f := http2.NewFramer(conn, nil)
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, h := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: "/good"}} {
		_ = e.WriteField(h)
	}
	_ = f.WriteSettings()
	for stream := uint32(1); stream < 2000; stream += 2 {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}) != nil ||
			f.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
			return nil // it has had enough
		}
		block.Reset()
		for _, h := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: "/good"}} {
			_ = e.WriteField(h)
		}
	}
	return nil
}

// R34: a gateway with a memory limit keeps below 480 MB whatever clients make it
// remember or unpack, and serves the others.
func TestMemoryCeiling(t *testing.T) {
	t.Parallel()
	const ceiling = 480 << 20
	lasting := long.Duration(2*time.Second, 5*time.Minute)
	thousand := make([]byte, 1000)
	url := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(thousand)
	})
	p := startWith(t, []string{"GOMEMLIMIT=400MiB"}, write(t, `
listen: 127.0.0.1:0
admin: none
access_log: false
cache: {megabytes: 128}
limits: {keys: 1000000}
upstreams: {u: '`+url+`'}
routes:
- {match: /, to: u}
- {match: /limited, to: u, limits: [{rate: 1/1h, per: header X-Key}]}
- {match: /cached/, to: u, cache: {ttl: 1h}}
- {match: /zip, to: u, compress: {requests: {decompress: true}}}
- {match: /json, to: u, transform: {request: {json: {remove: [/secret]}}}}
`))
	var all sync.WaitGroup
	var done [8]atomic.Int64 // by attack
	var wrong faults
	end := time.Now().Add(lasting)
	for i, a := range attacks {
		for n := range 2 {
			all.Go(func() {
				c := &http.Client{Transport: &http.Transport{}, Timeout: patience}
				defer c.CloseIdleConnections()
				r := rand.New(rand.NewPCG(long.Seed(t), uint64(10*i+n)))
				for time.Now().Before(end) {
					status, err := a.once(c, p.addr, r)
					right := err == nil
					for _, want := range a.want {
						right = right && (status == want || len(a.want) > 1)
					}
					if !right && a.name != "resets" && a.name != "large headers" && a.name != "bombs" {
						wrong.add(fmt.Sprintf("%s: status %d, %v", a.name, status, err))
					}
					done[i].Add(1)
				}
			})
		}
	}
	good, bad := 0, 0
	c := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer c.CloseIdleConnections()
	for time.Now().Before(end) {
		if status, err := send(c, "GET", "http://"+p.addr+"/good", nil); err == nil && status == http.StatusOK {
			good++
		} else {
			bad++
		}
		pause(5 * time.Millisecond)
	}
	all.Wait()
	now, peak := p.memory(t)
	if peak > ceiling {
		t.Errorf("the gateway had %d MB, want at most %d", peak>>20, ceiling>>20)
	}
	if good < 19*bad || good == 0 {
		t.Errorf("%d good requests were served and %d were not", good, bad)
	}
	wrong.report(t, "attacks were answered wrongly")
	text := ""
	for i, a := range attacks {
		text += fmt.Sprintf("%d %s, ", done[i].Load(), a.name)
	}
	if err := p.stop(t); err != nil {
		t.Errorf("the gateway ended with %v: %s", err, p.log())
	}
	long.Report(t, "R34", "%sin %v: %d MB at most, %d at the end; %d good requests served, %d not", text, lasting, peak>>20, now>>20, good, bad)
}
