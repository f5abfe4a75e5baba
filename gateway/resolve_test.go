package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/banyanhq/banyan/gateway"
)

// names is a name server that answers every question with its addresses.
type names struct {
	mu        sync.Mutex
	addresses []netip.Addr // guarded by mu; nil: SERVFAIL
	asked     int          // guarded by mu
}

func (n *names) set(addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = nil
	for _, a := range addresses {
		n.addresses = append(n.addresses, netip.MustParseAddr(a))
	}
	n.asked = 0
}

func (n *names) times() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

// resolver returns one that asks it.
func (n *names) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := n.answer(buf[:size]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (n *names) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	m.Response, m.Additionals = true, nil
	if n.addresses == nil {
		m.RCode = dnsmessage.RCodeServerFailure
	}
	for _, a := range n.addresses {
		if m.Questions[0].Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	return m.Pack()
}

// Each address of a name is a target, with what is known of it kept while it
// stays; calls to one that goes end as they would have; and when the name server
// fails nothing changes.
func TestResolve(t *testing.T) {
	t.Parallel()
	port := ""
	held, free := make(chan bool), make(chan bool)
	for i, address := range []string{"127.0.0.11", "127.0.0.12", "127.0.0.13"} {
		l, err := net.Listen("tcp", address+":"+port)
		if i == 0 {
			l, err = net.Listen("tcp", address+":0")
		}
		if err != nil {
			t.Skipf("the addresses of 127.0.0.0/8 cannot be used here: %v", err)
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/held" {
				held <- true
				<-free
			}
			_, _ = io.WriteString(w, address+" "+r.Host)
		}))
		_ = s.Listener.Close()
		s.Listener = l
		s.Start()
		t.Cleanup(s.Close)
	}
	var dns names
	dns.set("127.0.0.11")
	c := &gateway.Config{
		Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{"http://app.internal.example:" + port}, Resolve: 10 * time.Millisecond}},
		Routes:    []gateway.Route{{Match: "/", To: "u", Host: "app.internal.example"}},
	}
	g, err := gateway.New(c, &gateway.Options{Resolver: dns.resolver(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	targets := func() (urls []string) {
		for _, target := range g.Status().Upstreams[0].Targets {
			urls = append(urls, strings.TrimPrefix(target.URL, "http://app.internal.example:"+port))
		}
		return urls
	}
	become := func(want ...string) {
		t.Helper()
		until(t, fmt.Sprintf("%q", want), func() bool { return slices.Equal(targets(), want) })
	}
	become(" (127.0.0.11)")
	answer := make(chan string, 1)
	go func() { answer <- ask(g, "GET", "http://x/held").Body.String() }()
	<-held

	dns.set("127.0.0.13", "127.0.0.12")
	become(" (127.0.0.12)", " (127.0.0.13)")
	seen := map[string]int{}
	for range 200 {
		seen[ask(g, "GET", "http://x/").Body.String()]++
	}
	if len(seen) != 2 || seen["127.0.0.12 app.internal.example"] == 0 || seen["127.0.0.13 app.internal.example"] == 0 {
		t.Errorf("answers %v", seen)
	}
	close(free)
	if got := <-answer; got != "127.0.0.11 app.internal.example" {
		t.Errorf("a call to a target that has gone: %q", got)
	}

	dns.set()
	until(t, "a fourth question", func() bool { return dns.times() >= 4 })
	become(" (127.0.0.12)", " (127.0.0.13)")
	dns.set("127.0.0.12")
	become(" (127.0.0.12)")
	if target := g.Status().Upstreams[0].Targets[0]; target.Calls == 0 {
		t.Errorf("what was known of a target that stays is lost: %+v", target)
	}
}
