package compress

import (
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoder is what both libraries have.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// window of zstd, in bytes. Eight megabytes is what clients take (RFC 9659); this
// is enough for documents, and what each answer under way costs.
const window = 512 << 10

type strength struct {
	gzip int
	zstd zstd.EncoderLevel
}

func levels(name string) (strength, bool) {
	switch name {
	case "fast":
		return strength{1, zstd.SpeedFastest}, true
	case "", "default":
		return strength{5, zstd.SpeedDefault}, true
	case "best":
		return strength{9, zstd.SpeedBetterCompression}, true
	}
	return strength{}, false
}

// pools keep encoders of one level.
type pools struct {
	strength
	gzips, zstds sync.Pool
}

// get returns an encoder that writes to w.
func (p *pools) get(name string, w io.Writer) (encoder, error) {
	if e, ok := p.of(name).Get().(encoder); ok {
		e.Reset(w)
		return e, nil
	}
	if name == Gzip {
		return gzip.NewWriterLevel(w, p.gzip)
	}
	return zstd.NewWriter(w, zstd.WithEncoderLevel(p.zstd), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
}

// put takes an encoder back, whatever state it is in.
func (p *pools) put(name string, e encoder) {
	e.Reset(io.Discard) // it must not keep the connection alive
	p.of(name).Put(e)
}

func (p *pools) of(name string) *sync.Pool {
	if name == Gzip {
		return &p.gzips
	}
	return &p.zstds
}
