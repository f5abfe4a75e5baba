//go:build unix

package http1

import (
	"net"
	"syscall"
)

// pulse looks at a connection that waits for nothing. It is made once for each, so
// that a look costs no memory.
type pulse struct {
	raw     syscall.RawConn // nil: it cannot be looked at
	look    func(fd uintptr) bool
	nothing bool
}

func (p *pulse) init(conn net.Conn) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = t.NetConn()
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return // it is closed, which shows when it is used
	}
	p.raw = raw
	p.look = func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.nothing = n < 0 && (err == syscall.EAGAIN || err == syscall.EWOULDBLOCK) //nolint:errorlint // a number of the kernel
		return true
	}
}

// alive reports whether the peer has neither closed the connection nor sent
// something on it. It must not be called by two at once.
func (p *pulse) alive() bool {
	if p.raw == nil {
		return true
	}
	return p.raw.Read(p.look) == nil && p.nothing
}
