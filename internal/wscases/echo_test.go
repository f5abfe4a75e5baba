package wscases_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// echo is a WebSocket server that sends each message back. Its path says how:
//
//	/echo      in one frame
//	/pieces    in frames of 1300 bytes
//	/takeover  compressed, if the client offers that, with one window for all messages
//	/fresh     compressed, with a window for each message
//	/small     up to 1024 bytes; longer messages end the connection
//	/bye       it closes first, at once
//
// The library does not look whether text is UTF-8; the server does.
func echo(w http.ResponseWriter, r *http.Request) {
	options := &websocket.AcceptOptions{Subprotocols: []string{"soap", "chat.v2"}, CompressionThreshold: 1}
	limit := int64(32 << 20)
	switch r.URL.Path {
	case "/takeover":
		options.CompressionMode = websocket.CompressionContextTakeover
	case "/fresh":
		options.CompressionMode = websocket.CompressionNoContextTakeover
	case "/small":
		limit = 1024
	}
	conn, err := websocket.Accept(w, r, options)
	if err != nil {
		return // the client has been told
	}
	defer conn.CloseNow() //nolint:errcheck // it is closed already, mostly
	conn.SetReadLimit(limit)
	if r.URL.Path == "/bye" {
		_ = conn.Close(websocket.StatusGoingAway, "moving")
		return
	}
	size := limit
	if r.URL.Path == "/pieces" {
		size = 1300
	}
	for echoOne(conn, size) == nil {
	}
}

// echoOne sends one message back.
func echoOne(conn *websocket.Conn, size int64) error {
	ctx := context.Background()
	kind, in, err := conn.Reader(ctx)
	if err != nil {
		return err
	}
	message, err := take(in, kind == websocket.MessageText)
	if errors.Is(err, errNotText) {
		return errors.Join(err, conn.Close(websocket.StatusInvalidFramePayloadData, "not UTF-8"))
	}
	if err != nil {
		return err
	}
	if int64(len(message)) <= size {
		return conn.Write(ctx, kind, message)
	}
	out, err := conn.Writer(ctx, kind)
	for ; err == nil && len(message) > 0; message = message[min(size, int64(len(message))):] {
		_, err = out.Write(message[:min(size, int64(len(message)))])
	}
	return errors.Join(err, out.Close())
}

var errNotText = errors.New("not UTF-8")

// take reads a message. Text that cannot become UTF-8 any more ends it at the
// frame that says so (RFC 6455 §8.1).
func take(in io.Reader, isText bool) ([]byte, error) {
	var all []byte
	checked := 0
	piece := make([]byte, 32<<10)
	for {
		n, err := in.Read(piece)
		whole := err == io.EOF //nolint:errorlint // the library wraps it where a message is cut off
		if err != nil && !whole {
			return nil, err // and what it returns with that is still masked
		}
		all = append(all, piece[:n]...)
		for isText && checked < len(all) {
			r, size := utf8.DecodeRune(all[checked:])
			if r == utf8.RuneError && size == 1 {
				if !utf8.FullRune(all[checked:]) && !whole {
					break // the rest of it may follow
				}
				return nil, errNotText
			}
			checked += size
		}
		if whole {
			return all, nil
		}
	}
}
