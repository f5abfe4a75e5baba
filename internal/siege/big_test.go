package siege_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/internal/long"
)

// pattern is n bytes that differ.
type pattern struct {
	left   int64
	source *rand.ChaCha8
}

func newPattern(n int64) *pattern { return &pattern{n, rand.NewChaCha8([32]byte{1})} }

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.left)]
	p.left -= int64(len(b))
	return p.source.Read(b)
}

func digest(r io.Reader) (string, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// streams answers in all the ways that take long.
func streams(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
	switch r.URL.Path {
	case "/up":
		sum, got, err := digest(r.Body)
		fmt.Fprintf(w, "%s %d %v", sum, got, err)
	case "/down":
		if r.URL.Query().Get("length") != "" {
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		}
		_, _ = io.Copy(w, newPattern(n))
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range n {
			fmt.Fprintf(w, "id: %d\ndata: event %d\n\n", i, i)
			_ = http.NewResponseController(w).Flush()
		}
	case "/socket":
		frames(w, r)
	}
}

// growth of a gateway's memory during f, in bytes. It counts the most that the
// gateway had at any time.
func growth(t *testing.T, p *process, f func()) int64 {
	t.Helper()
	before, _ := p.memory(t)
	f()
	_, peak := p.memory(t)
	return max(0, peak-before)
}

// What is large or lasts goes through as it is, and the gateway does not keep it.
func TestLargeAndLong(t *testing.T) {
	t.Parallel()
	size := int64(long.Size(8<<20, 1<<30))
	count := long.Size(500, 10_000)
	one := behind(t, streams)
	two := httptest.NewUnstartedServer(http.HandlerFunc(calls))
	two.Config.Protocols = new(http.Protocols)
	two.Config.Protocols.SetUnencryptedHTTP2(true)
	two.Start()
	defer two.Close()
	p := start(t, write(t, "listen: 127.0.0.1:0\nadmin: none\naccess_log: false\nupstreams:\n  u: '"+one+"'\n  g: {targets: ['"+two.URL+"'], protocol: h2}\n"+
		"routes: [{match: /, to: u}, {match: /grpc/, to: g}]\n"))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	for _, c := range []struct {
		name      string
		transport *http.Transport
	}{{"HTTP/1.1", &http.Transport{}}, {"HTTP/2", &http.Transport{Protocols: protocols}}} {
		client := &http.Client{Transport: c.transport}
		grown := growth(t, p, func() {
			up(t, client, "http://"+p.addr+"/up", size)
			down(t, client, "http://"+p.addr+"/down?n="+strconv.FormatInt(size, 10), size)
			down(t, client, "http://"+p.addr+"/down?length=1&n="+strconv.FormatInt(size, 10), size)
			events(t, client, "http://"+p.addr+"/events?n="+strconv.Itoa(count), count)
			if c.name == "HTTP/2" {
				converse(t, client, "http://"+p.addr+"/grpc/chat", count)
			}
		})
		c.transport.CloseIdleConnections()
		checkGrowth(t, grown)
		long.Report(t, "R33", "%s: %d MB up and twice down, %d events: the gateway grew by %d MB", c.name, size>>20, count, grown>>20)
	}
	grown := growth(t, p, func() { socket(t, p.addr, count) })
	checkGrowth(t, grown)
	long.Report(t, "R33", "WebSocket: %d messages each way: the gateway grew by %d MB", count, grown>>20)
}

func checkGrowth(t *testing.T, grown int64) {
	t.Helper()
	if grown > 32<<20 {
		t.Errorf("the gateway grew by %d MB, want at most 32 MB", grown>>20)
	}
}

// up sends a large body, with and without a length.
func up(t *testing.T, client *http.Client, url string, n int64) {
	t.Helper()
	want, _, _ := digest(newPattern(n))
	for _, length := range []int64{n, -1} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, newPattern(n))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		resp, err := client.Do(r)
		if err != nil {
			t.Errorf("up: %v", err)
			return
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := string(text); got != fmt.Sprintf("%s %d <nil>", want, n) {
			t.Errorf("up: %d bytes arrived as %q, %v", n, got, err)
		}
	}
}

func down(t *testing.T, client *http.Client, url string, n int64) {
	t.Helper()
	want, _, _ := digest(newPattern(n))
	resp, err := get(t, client, url)
	if err != nil {
		t.Errorf("down: %v", err)
		return
	}
	defer resp.Body.Close()
	if sum, got, err := digest(resp.Body); sum != want || got != n || err != nil {
		t.Errorf("down: %d of %d bytes, the same: %v; %v", got, n, sum == want, err)
	}
}

func get(t *testing.T, client *http.Client, url string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client.Do(r)
}

// events reads server-sent events in their order.
func events(t *testing.T, client *http.Client, url string, n int) {
	t.Helper()
	resp, err := get(t, client, url)
	if err != nil {
		t.Errorf("events: %v", err)
		return
	}
	defer resp.Body.Close()
	in, next := bufio.NewScanner(resp.Body), 0
	for in.Scan() {
		if text, ok := strings.CutPrefix(in.Text(), "data: "); ok {
			if text != "event "+strconv.Itoa(next) {
				t.Errorf("event %d is %q", next, text)
			}
			next++
		}
	}
	if next != n || in.Err() != nil {
		t.Errorf("%d events of %d, %v", next, n, in.Err())
	}
}

// message frames a message as gRPC does: a byte, the length, the message.
func message(text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
}

func readMessage(r io.Reader) (string, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	text := make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err := io.ReadFull(r, text)
	return string(text), err
}

// calls is a server of one streaming method: it answers each message when it
// comes, and says in the trailer how it went.
func calls(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	_ = http.NewResponseController(w).Flush()
	n := 0
	for ; ; n++ {
		text, err := readMessage(r.Body)
		if err != nil {
			break
		}
		_, _ = w.Write(message("re: " + text))
		_ = http.NewResponseController(w).Flush()
	}
	w.Header().Set("Grpc-Status", "0")
	w.Header().Set("Grpc-Message", strconv.Itoa(n))
}

// converse calls the method: it sends each message when the one before was
// answered, which nobody on the way may hold back.
func converse(t *testing.T, client *http.Client, url string, n int) {
	t.Helper()
	in, out := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), long.Duration(patience, 5*time.Minute))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	resp, err := client.Do(r)
	if err != nil {
		t.Errorf("call: %v", err)
		return
	}
	defer resp.Body.Close()
	for i := range n {
		text := strconv.Itoa(i) + strings.Repeat("m", i%3000)
		if _, err := out.Write(message(text)); err != nil {
			t.Errorf("message %d: %v", i, err)
			return
		}
		if got, err := readMessage(resp.Body); err != nil || got != "re: "+text {
			t.Errorf("message %d: %d bytes, %v", i, len(got), err)
			return
		}
	}
	_ = out.Close()
	if _, err := readMessage(resp.Body); !errors.Is(err, io.EOF) {
		t.Errorf("the end of the call: %v", err)
	}
	if resp.Trailer.Get("Grpc-Status") != "0" || resp.Trailer.Get("Grpc-Message") != strconv.Itoa(n) {
		t.Errorf("the trailer is %v", resp.Trailer)
	}
}

// frames is a WebSocket server that sends back what it gets (RFC 6455).
func frames(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("Sec-Websocket-Key") == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	conn, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	for {
		kind, text, err := readFrame(in)
		if err != nil {
			return
		}
		if _, err := conn.Write(frame(kind, text, false)); err != nil || kind == closing {
			return
		}
	}
}

// The kinds of frames that are used (RFC 6455 §5.2).
const (
	binaryFrame = 2
	closing     = 8
)

// frame returns one message in one frame (RFC 6455 §5.2).
func frame(kind byte, text []byte, masked bool) []byte {
	out := []byte{0x80 | kind, 0}
	switch n := len(text); {
	case n < 126:
		out[1] = byte(n)
	case n < 1<<16:
		out[1] = 126
		out = binary.BigEndian.AppendUint16(out, uint16(n))
	default:
		out[1] = 127
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	if !masked {
		return append(out, text...)
	}
	out[1] |= 0x80
	key := [4]byte{7, 77, 177, 27}
	out = append(out, key[:]...)
	for i, c := range text {
		out = append(out, c^key[i%4])
	}
	return out
}

func readFrame(r io.Reader) (kind byte, text []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1] & 0x7f)
	if n >= 126 {
		size := make([]byte, 2<<(2*(n-126))) // 2 or 8 bytes
		if _, err := io.ReadFull(r, size); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(append(make([]byte, 8-len(size)), size...))
	}
	var key [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, key[:]); err != nil {
			return 0, nil, err
		}
	}
	text = make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return 0, nil, err
	}
	for i := range text {
		text[i] ^= key[i%4]
	}
	return head[0] & 0xf, text, nil
}

// socket sends messages and reads them back, some of them at once.
func socket(t *testing.T, address string, n int) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
	// The first message comes with the request: it must not be lost.
	first := frame(binaryFrame, []byte("first"), true)
	_, _ = io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"+string(first))
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("upgrade: %v, %v", resp, err)
		return
	}
	texts := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, i%70_000) }
	sent := make(chan error, 1)
	go func() {
		out := bufio.NewWriter(conn)
		for i := range n {
			_, _ = out.Write(frame(binaryFrame, texts(i*7), true))
		}
		_, _ = out.Write(frame(closing, nil, true))
		sent <- out.Flush()
	}()
	if _, text, err := readFrame(in); err != nil || string(text) != "first" {
		t.Errorf("the first message is %q, %v", text, err)
	}
	for i := range n {
		if kind, text, err := readFrame(in); err != nil || kind != binaryFrame || !bytes.Equal(text, texts(i*7)) {
			t.Errorf("message %d: kind %d, %d bytes, %v", i, kind, len(text), err)
			break
		}
	}
	if kind, _, err := readFrame(in); err != nil || kind != closing {
		t.Errorf("the end: kind %d, %v", kind, err)
	}
	if err := <-sent; err != nil {
		t.Errorf("send: %v", err)
	}
}
