package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// BenchmarkThrough is a request through the strict front and the gateway to a
// server that needs no memory: what it allocates is the gateway's.
func BenchmarkThrough(b *testing.B) {
	g, err := gateway.New(to("http://"+talker(b, "\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"id\":17850}")), nil)
	if err != nil {
		b.Fatal(err)
	}
	f, err := gateway.NewFront(g, nil)
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx, l) }()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in := make([]byte, 4096)
		for pb.Next() {
			if _, err := io.WriteString(conn, "GET /orders/17?lines=1 HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n"); err != nil {
				b.Error(err)
				return
			}
			if _, err := hear(conn, in, "{\"id\":17850}"); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	if err := g.Close(); err != nil {
		b.Error(err)
	}
}

// talker says a text whenever it has heard another one.
func talker(b *testing.B, heard, text string) (address string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	say := []byte(text)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := make([]byte, 4096)
				for {
					if _, err := hear(conn, in, heard); err != nil {
						return
					}
					if _, err := conn.Write(say); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// hear reads until what came ends with a text.
func hear(r io.Reader, in []byte, end string) (n int, err error) {
	for !bytes.HasSuffix(in[:n], []byte(end)) {
		got, err := r.Read(in[n:])
		if n += got; err != nil {
			return n, err
		}
	}
	return n, nil
}
