// Package wscases is the list of WebSocket cases that the gateway is held to. It
// has tests only, no code.
//
// The gateway does not speak WebSocket: it checks the request that asks for the
// switch, and once the server has switched, the bytes of both sides pass
// untouched, in order and at once, both ways; the end of one side reaches the
// other, and what a side said before its end is delivered.
//
// So the cases are differential. Each one is what a client sends, byte by byte, in
// frames built by hand (RFC 6455 §5.2), and it is played four times: straight to a
// server, through a gateway, through a gateway with TLS in front, and with TLS on
// both sides and the route's policies (retry, breaker) between. What the client is
// answered has to be the same each time, to the byte, and so do the close code and
// the way the connection ends; and it has to be what the RFC asks for. Where the
// server's library does something else, the case says so: that is its deviation,
// and the gateway has to pass it on as well.
//
// The names begin with the section of Autobahn's list that a case stands for:
// 1 framing, 2 pings, 3 reserved bits, 4 opcodes, 5 fragmentation, 6 UTF-8, 7
// closing, 9 limits, 10 fragments of the server's own, 12 and 13 compression.
// Autobahn's own suite needs Python 2. Handshakes and tunnels have no section
// there.
package wscases
