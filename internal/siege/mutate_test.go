package siege_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// written by hand: what was used against other proxies, and what is right.
var written = []string{
	"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /a/b?c=d HTTP/1.1\r\nHost: x:80\r\nAccept: */*\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent_Length: 45\r\nContent-Length: 5\r\n\r\nhello",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n4c\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 39\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n",
	"HEAD /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
	"DELETE /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
	"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET http://x/absolute?q HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET http://y HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Content-Length, close\r\nContent-Length: 5\r\n\r\nhello",
	"PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
	"PUT /a HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello",
	"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
	"GET /a?x=%0d%0aHost:%20y HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /a%20b/%E2%82%AC?a=b;c HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: x\r\nA: b\rContent-Length: 5\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: x\r\nA: b\nContent-Length: 5\r\n\r\nhello",
	"GET /a HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "GET /a HTTP/2.0\r\nHost: x\r\n\r\n", "GET /a\r\n\r\n",
	"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", "GET  /a HTTP/1.1\r\nHost: x\r\n\r\n", "GET\t/a HTTP/1.1\r\nHost: x\r\n\r\n",
}

// The parts that requests are put together from.
var (
	methodParts = []string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"}
	targetParts = []string{"/", "/a", "/a/b/", "/a?b=c", "/?", "/a?b=c&d=/../e", "/%41", "/a%20b", "/é", "/a/./b", "/a//b", "/a;b", "*", "http://x/a", "/a#b", "/a?b?c#d", "/" + strings.Repeat("a", 300)}
	fieldParts  = []string{
		"Accept: */*", "Content-Type: text/plain", "Connection: keep-alive", "Connection: close", "Connection: Transfer-Encoding", "X-A: b", "x-a:  c ", "X_A: b", "Cookie: a=b", "A:", "TE: trailers", "Trailer: A",
		"Expect: 100-continue", "Content-Length: 0", "Content-Length: 5", "Transfer-Encoding: chunked", "Transfer-Encoding: Chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: \tchunked", "Content-Encoding: gzip", "Keep-Alive: 5",
		"X-Forwarded-For: 1.2.3.4", "X: \xe9\xff", "Range: bytes=0-3", "Upgrade: websocket", "Proxy-Connection: keep-alive", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	tokens = []string{
		"\r", "\n", "\r\n", "\r\n\r\n", "\x00", "\t", "\v", " ", "  ", ":", ";", ",", "0", "5", "0\r\n\r\n", "ffffffffffffffff", "chunked", "identity", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "HTTP/1.0", "HTTP/1.1", "HTTP/1.2",
		"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", "\xa0", "\x85", "\xff", "-", "+", "_", "\"", "%00", "%2f", "..", "?", "#", "\\", "@", "[::1]",
	}
)

func one(random *rand.Rand, of []string) string { return of[random.IntN(len(of))] }

// request puts one together, mostly a right one.
func request(random *rand.Rand) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\nHost: x\r\n", one(random, methodParts), one(random, targetParts[:5+random.IntN(len(targetParts)-4)]))
	for range random.IntN(4) {
		out.WriteString(one(random, fieldParts[:8+random.IntN(len(fieldParts)-7)]) + "\r\n")
	}
	body := strings.Repeat("b", random.IntN(40))
	if random.IntN(8) == 0 {
		body = strings.Repeat("c", 3000+random.IntN(6000))
	}
	switch random.IntN(4) {
	case 0:
		out.WriteString("\r\n")
	case 1:
		fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n%s", len(body), body)
	case 2:
		fmt.Fprintf(&out, "Transfer-Encoding: chunked\r\n\r\n")
		for half := len(body) / 2; body != ""; body = body[half:] {
			half = max(1, min(len(body), half))
			fmt.Fprintf(&out, "%x\r\n%s\r\n", half, body[:half])
		}
		out.WriteString("0\r\n" + []string{"", "A: b\r\n", "X-Trailer: c\r\n"}[random.IntN(3)] + "\r\n")
	case 3: // a request in a body
		inner := "GET /smuggled HTTP/1.1\r\nHost: x\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
		fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n%s", len(inner), inner)
	}
	return out.String()
}

// mutate changes a text in one place.
func mutate(text string, random *rand.Rand) string {
	i := random.IntN(len(text) + 1)
	j := min(len(text), i+random.IntN(12))
	switch random.IntN(7) {
	case 0:
		return text[:i] + one(random, tokens) + text[i:]
	case 1:
		return text[:i] + one(random, tokens) + text[j:]
	case 2:
		return text[:i] + text[j:]
	case 3:
		return text[:j] + text[i:j] + text[j:]
	case 4:
		if i == len(text) {
			return text
		}
		return text[:i] + string([]byte{text[i] ^ 1<<random.IntN(8)}) + text[i+1:]
	case 5:
		lines := strings.SplitAfter(text, "\n")
		a, b := random.IntN(len(lines)), random.IntN(len(lines))
		lines[a], lines[b] = lines[b], lines[a]
		return strings.Join(lines, "")
	}
	if i == len(text) {
		return text
	}
	return text[:i] + string([]byte{byte(random.IntN(256))}) + text[i+1:]
}

// input returns the nth input: those written by hand first, as they are.
func input(random *rand.Rand, n int) string {
	if n <= len(written) {
		return written[n-1] + last
	}
	text := ""
	for range 1 + random.IntN(3) {
		if random.IntN(3) == 0 {
			text += one(random, written)
		} else {
			text += request(random)
		}
	}
	for range random.IntN(4) {
		text = mutate(text, random)
	}
	return text + last
}
