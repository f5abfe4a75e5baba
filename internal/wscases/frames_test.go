package wscases_test

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"syscall"
)

// The first byte of a frame: bits, and the kind (RFC 6455 §5.2).
const (
	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10

	more   = 0x0 // the continuation of a message
	text   = 0x1
	octets = 0x2
	bye    = 0x8
	ping   = 0x9
	pong   = 0xA
)

// mask is that of all frames: what matters is that it is not zero.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// frame returns a frame as a client sends it.
func frame(first byte, payload string) []byte {
	head := append(header(first, uint64(len(payload)), shortest), mask[:]...)
	out := append(head, payload...)
	masks := bytes.Repeat(mask[:], len(payload)/len(mask)+1)
	subtle.XORBytes(out[len(head):], out[len(head):], masks)
	return out
}

// shortest is the form of a length that takes the fewest bytes, as it has to be.
const shortest = 0

// header returns the head of a masked frame without its mask. A form of 126 or 127
// is used whether or not the length needs it.
func header(first byte, length uint64, form byte) []byte {
	switch {
	case form == 127 || length > 0xffff:
		return binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, length)
	case form == 126 || length > 125:
		return binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(length))
	}
	return []byte{first, 0x80 | byte(length)}
}

// closing returns a client's close frame.
func closing(code uint16, reason string) []byte {
	return frame(fin|bye, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// fragments returns a message in frames of so many bytes each.
func fragments(kind byte, payload string, size int) []byte {
	var out []byte
	for first := kind; ; first = more {
		if len(payload) <= size {
			return append(out, frame(fin|first, payload)...)
		}
		out = append(out, frame(first, payload[:size])...)
		payload = payload[size:]
	}
}

// heard is all that a client was answered.
type heard struct {
	Frames []string // each in a line
	Sum    uint32   // of all their bytes
	Bytes  int
	End    string // of the connection: "eof", "reset", "cut" within a frame, or "silence"
}

// line describes a frame: its first byte, and what is in it.
func line(first byte, payload []byte) string {
	switch {
	case first == fin|bye && len(payload) >= 2:
		return fmt.Sprintf("%02x %d %q", first, binary.BigEndian.Uint16(payload), payload[2:])
	case len(payload) > 300:
		return fmt.Sprintf("%02x %d bytes %08x", first, len(payload), crc32.ChecksumIEEE(payload))
	}
	return fmt.Sprintf("%02x %q", first, payload)
}

// said is line for what a case wants.
func said(first byte, payload string) string { return line(first, []byte(payload)) }

// closed is the line of a close frame with a code, and any reason.
func closed(code int) string { return fmt.Sprintf("%02x %d ", fin|bye, code) }

// readFrame reads a frame of the server's. Its bytes are added to what was heard.
func (h *heard) readFrame(in *bufio.Reader) (first byte, payload []byte, err error) {
	head := make([]byte, 2, 10)
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, nil, err
	}
	length := uint64(head[1])
	if more := map[uint64]int{126: 2, 127: 8}[length]; more > 0 {
		head = head[:2+more]
		if _, err := io.ReadFull(in, head[2:]); err != nil {
			return 0, nil, errors.Join(io.ErrUnexpectedEOF, err)
		}
		length = binary.BigEndian.Uint64(slices.Concat(make([]byte, 8-more), head[2:]))
	}
	if length > 1<<26 {
		return 0, nil, fmt.Errorf("a frame of %d bytes, or a masked one", length)
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(in, payload); err != nil {
		return 0, nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	h.Sum = crc32.Update(crc32.Update(h.Sum, crc32.IEEETable, head), crc32.IEEETable, payload)
	h.Bytes += len(head) + len(payload)
	return head[0], payload, nil
}

// ending names the error that ended reading.
func ending(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silence"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "cut"
	case errors.Is(err, io.EOF):
		return "eof"
	}
	return err.Error()
}
