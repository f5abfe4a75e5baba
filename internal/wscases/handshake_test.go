package wscases_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// greeting is a handshake and what is answered (RFC 6455 §4).
type greeting struct {
	name    string
	request string
	status  int
	header  map[string]string // of what has to be in the answer; "" is nothing
	// otherwise is the status that a gateway answers if it is not the server's,
	// and why.
	otherwise int
	why       string
}

func greetings() []greeting {
	yes := map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Accept": accepted, "Sec-Websocket-Protocol": "", "Sec-Websocket-Extensions": ""}
	with := func(name, value string) map[string]string {
		return map[string]string{"Sec-Websocket-Accept": accepted, name: value}
	}
	instead := func(old, new string) string { return strings.Replace(request("/echo"), old, new, 1) }
	line := func(name, value string) string { return request("/echo", name+": "+value) }
	const list = "the gateway lets an Upgrade of websocket alone pass; any other is ignored, as RFC 9110 §7.8 allows"
	const unasked = "no handshake for the gateway, so that the server sees none, and says so in its own words"
	return []greeting{
		{name: "the usual", request: request("/echo"), status: 101, header: yes},
		{name: "Upgrade in capitals", request: instead("Upgrade: websocket", "UPGRADE: WEBSOCKET"), status: 101, header: yes},
		{name: "Upgrade as browsers had it", request: instead("Upgrade: websocket", "upgrade: WebSocket"), status: 101, header: yes},
		{name: "Connection in small letters", request: instead("Connection: Upgrade", "connection: upgrade"), status: 101, header: yes},
		{name: "Connection as Firefox has it", request: instead("Connection: Upgrade", "Connection: keep-alive, Upgrade"), status: 101, header: yes},
		{name: "Connection in two lines", request: instead("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"), status: 101, header: yes},
		{name: "no Connection", request: instead("Connection: Upgrade\r\n", ""), status: 426, header: map[string]string{"Sec-Websocket-Accept": ""}},
		{name: "no Upgrade", request: instead("Upgrade: websocket\r\n", ""), status: 426, otherwise: 426, why: unasked},
		{name: "Upgrade to something else", request: instead("Upgrade: websocket", "Upgrade: h2c"), status: 426, otherwise: 426, why: unasked},
		{name: "Upgrade to one of two", request: instead("Upgrade: websocket", "Upgrade: websocket, foo/2"), status: 101, otherwise: 426, why: list},
		{name: "Upgrade in two lines", request: instead("Upgrade: websocket", "Upgrade: foo/2\r\nUpgrade: websocket"), status: 101, otherwise: 426, why: list},
		{name: "a version of a draft", request: instead("Version: 13", "Version: 8"), status: 400, header: map[string]string{"Sec-Websocket-Version": "13"}},
		{name: "no version", request: instead("Sec-WebSocket-Version: 13\r\n", ""), status: 400, header: map[string]string{"Sec-Websocket-Version": "13"}},
		{name: "a version that the server says more of", request: strings.Replace(request("/versions"), "Version: 13", "Version: 14", 1), status: 426, header: map[string]string{"Sec-Websocket-Version": "13, 8, 7"}},
		{name: "no key", request: instead("Sec-WebSocket-Key: "+key+"\r\n", ""), status: 400},
		{name: "two keys", request: line("Sec-WebSocket-Key", key), status: 400},
		{name: "a key that is too short", request: instead(key, "c2hvcnQ="), status: 400},
		{name: "a key that is no base64", request: instead(key, "not base64"), status: 400},
		{name: "POST", request: instead("GET", "POST"), status: 405, otherwise: 426, why: unasked},
		{name: "HTTP/1.0", request: instead("HTTP/1.1", "HTTP/1.0"), status: 426, otherwise: 426, why: unasked},
		{name: "a page of the same origin", request: line("Origin", "https://localhost"), status: 101, header: yes},
		{name: "a page of another origin", request: line("Origin", "https://evil.example"), status: 403, header: map[string]string{"Sec-Websocket-Accept": ""}},
		{name: "a protocol of several", request: line("Sec-WebSocket-Protocol", "mqtt, chat.v2"), status: 101, header: with("Sec-Websocket-Protocol", "chat.v2")},
		{name: "protocols in two lines", request: request("/echo", "Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Protocol: soap"), status: 101, header: with("Sec-Websocket-Protocol", "soap")},
		{name: "protocols that the server does not know", request: line("Sec-WebSocket-Protocol", "mqtt"), status: 101, header: yes},
		{name: "an extension", request: request("/takeover", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"), status: 101, header: with("Sec-Websocket-Extensions", "permessage-deflate")},
		{name: "an extension without a window that lasts", request: request("/takeover", "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"), status: 101, header: with("Sec-Websocket-Extensions", "permessage-deflate; client_no_context_takeover; server_no_context_takeover")},
		{name: "an extension in a second line", request: request("/fresh", "Sec-WebSocket-Extensions: bbf-usp-protocol", "Sec-WebSocket-Extensions: permessage-deflate"), status: 101, header: with("Sec-Websocket-Extensions", "permessage-deflate; client_no_context_takeover; server_no_context_takeover")},
		{name: "extensions that the server does not know", request: request("/takeover", "Sec-WebSocket-Extensions: x-webkit-deflate-frame"), status: 101, header: yes},
		{name: "a refusal", request: request("/refused"), status: 403, header: map[string]string{"X-Why": "full", "Sec-Websocket-Accept": ""}},
		{name: "a redirect", request: request("/moved"), status: 307, header: map[string]string{"Location": "/echo"}},
	}
}

// door is the server of the handshakes.
func door(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/versions":
		w.Header().Set("Sec-WebSocket-Version", "13, 8, 7")
		http.Error(w, "13, 8 or 7", http.StatusUpgradeRequired)
	case "/refused":
		w.Header().Set("X-Why", "full")
		http.Error(w, "all seats are taken", http.StatusForbidden)
	case "/moved":
		http.Redirect(w, r, "/echo", http.StatusTemporaryRedirect)
	case "/plain":
		say(w, "plain "+r.Header.Get("Upgrade"))
	default:
		echo(w, r)
	}
}

// RFC 6455 §4: what a client asks for and what the server answers pass, and where a
// switch is refused the connection goes on in HTTP.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	ways := handled(t, http.HandlerFunc(door))
	t.Logf("%d cases", len(greetings()))
	for _, g := range greetings() {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			straight := g.on(t, ways[0])
			if straight.Status != g.status {
				t.Errorf("the server answers %d, want %d", straight.Status, g.status)
			}
			for _, way := range ways[1:] {
				want := straight
				if g.otherwise != 0 {
					want = answered{Status: g.otherwise}
				}
				got := g.on(t, way)
				if g.otherwise != 0 {
					got = answered{Status: got.Status}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (%s) (-direct +this):\n%s", way.name, g.why, diff)
				}
			}
		})
	}
}

// answered is what a client is shown.
type answered struct {
	Status int
	Header map[string]string
	Body   string
	Next   string // what the connection does then
}

// on asks, looks at the answer, and then uses the connection for what it is for.
func (g greeting) on(t *testing.T, r road) answered {
	t.Helper()
	conn := r.dial(t)
	defer conn.Close()
	say(conn, g.request)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	a := answered{Status: resp.StatusCode, Header: map[string]string{}}
	for name, want := range g.header {
		a.Header[name] = strings.Join(resp.Header[name], ", ")
		if a.Header[name] != want {
			t.Errorf("%s: %s is %q, want %q", r.name, name, a.Header[name], want)
		}
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		say(conn, string(frame(fin|text, "hello"))+string(normal))
		h := upgraded{conn, in}.play(nil)
		a.Next = strings.Join(append(h.Frames, h.End), " ")
		return a
	}
	text, _ := io.ReadAll(resp.Body) // what is missing shows
	a.Body = string(text)
	if resp.Close || resp.ProtoMinor == 0 || strings.Contains(g.request, "HTTP/1.0") {
		return a
	}
	say(conn, "GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if resp, err = http.ReadResponse(in, nil); err == nil {
		text, err = io.ReadAll(resp.Body)
	}
	a.Next = fmt.Sprintf("%q, %v", text, err)
	return a
}

// A handshake that comes byte by byte is one, and so is an answer to it.
func TestHandshakeByteByByte(t *testing.T) {
	t.Parallel()
	ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
		for _, b := range []byte(switched + "hello") {
			say(conn, string([]byte{b}))
		}
		_, _ = io.Copy(io.Discard, in)
	})
	everyWay(t, ways, func(t *testing.T, r road) {
		conn := r.dial(t)
		for _, b := range []byte(request("/")) {
			say(conn, string([]byte{b}))
		}
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != accepted {
			t.Fatalf("answer %v, %v", resp, err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(in, got); err != nil || string(got) != "hello" {
			t.Errorf("then %q, %v", got, err)
		}
	})
}

// A client that asks in vain and has sent its next request already gets two
// answers: what follows a refusal is HTTP (RFC 9110 §7.8).
func TestRequestsBehindARefusal(t *testing.T) {
	t.Parallel()
	everyWay(t, handled(t, http.HandlerFunc(door)), func(t *testing.T, r road) {
		conn := r.dial(t)
		say(conn, request("/refused")+"GET /plain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		all, err := io.ReadAll(conn)
		got := string(all)
		if err != nil || strings.Count(got, "HTTP/1.1 403 ") != 1 || strings.Count(got, "HTTP/1.1 200 ") != 1 || !strings.HasSuffix(got, "plain ") {
			t.Errorf("answers %q, %v", got, err)
		}
	})
}

// A server that switches where nobody asked it to, or to something else, gives no
// valid answer (RFC 9110 §15.2.2): no bytes of its may pass as answers, and none of
// the client's requests as frames.
func TestSwitchUnasked(t *testing.T) {
	t.Parallel()
	plain := "GET / HTTP/1.1\r\nHost: localhost\r\n"
	for name, k := range map[string]struct{ request, answer string }{
		"nobody asked":           {plain + "\r\n", switched},
		"by POST":                {strings.Replace(request("/"), "GET", "POST", 1), switched},
		"by HTTP/1.0":            {strings.Replace(request("/"), "HTTP/1.1", "HTTP/1.0", 1), switched},
		"with a body":            {request("/", "Content-Length: 5") + "hello", switched},
		"with a body to come":    {request("/", "Transfer-Encoding: chunked") + "5\r\nhello\r\n", switched},
		"with a chunked body":    {request("/", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", switched},
		"asked for another":      {plain + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", strings.Replace(switched, "websocket", "h2c", 1)},
		"to something else":      {request("/"), strings.Replace(switched, "websocket", "h2c", 1)},
		"to nothing":             {request("/"), strings.Replace(switched, "Upgrade: websocket\r\n", "", 1)},
		"to two things":          {request("/"), strings.Replace(switched, "websocket", "websocket, h2c", 1)},
		"without saying Upgrade": {request("/"), strings.Replace(switched, "Connection: Upgrade\r\n", "", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
				say(conn, k.answer+"secret")
				_, _ = io.Copy(io.Discard, in)
			})
			everyWay(t, slices.DeleteFunc(ways, func(r road) bool { return r.address == ways[0].address }), func(t *testing.T, r road) {
				conn := r.dial(t)
				say(conn, k.request)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || resp.StatusCode != http.StatusBadGateway {
					t.Fatalf("answer %v, %v, want 502", resp, err)
				}
				if text, _ := io.ReadAll(resp.Body); strings.Contains(string(text), "secret") {
					t.Errorf("answer %q", text)
				}
			})
		})
	}
}
