package zz

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/http1"
)

func BenchmarkProxy(b *testing.B) {
	back, _ := http1.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":17,"name":"white hanging heart","price":"2.55"}`)
	}), nil)
	bl, _ := net.Listen("tcp", "127.0.0.1:0")
	go back.Serve(bl)
	g, err := gateway.New(&gateway.Config{Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{"http://" + bl.Addr().String()}}}, Routes: []gateway.Route{{Match: "/", To: "u"}}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	f, _ := gateway.NewFront(g, nil)
	fl, _ := net.Listen("tcp", "127.0.0.1:0")
	go f.Run(context.Background(), fl)
	conn, _ := net.Dial("tcp", fl.Addr().String())
	in := bufio.NewReader(conn)
	req := []byte("GET /orders/17 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench\r\nAccept: application/json\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		conn.Write(req)
		n := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) > 16 && string(line[:16]) == "Content-Length: " {
				n = int(line[16]-'0')*10 + int(line[17]-'0')
			}
			if len(line) == 2 {
				break
			}
		}
		in.Discard(n)
	}
}
