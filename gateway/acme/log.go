package acme

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// bridge gives what certmagic logs to a slog.Logger, without its debug level, which
// has the answers to challenges, and a level quieter where it tells of each step.
type bridge struct {
	log    *slog.Logger
	fields []zapcore.Field
}

// strayChallenge is what certmagic says of each handshake for a challenge that
// there is not: anybody can cause it, as often as they like. That a challenge of ours
// was not answered the authority says.
const strayChallenge = "tls-alpn challenge"

func zapLogger(log *slog.Logger) *zap.Logger { return zap.New(bridge{log: log}) }

func levelOf(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled implements zapcore.Core.
func (b bridge) Enabled(l zapcore.Level) bool {
	return l >= zapcore.InfoLevel && b.log.Enabled(context.Background(), levelOf(l))
}

// With implements zapcore.Core.
func (b bridge) With(fields []zapcore.Field) zapcore.Core {
	return bridge{b.log, append(b.fields[:len(b.fields):len(b.fields)], fields...)}
}

// Check implements zapcore.Core.
func (b bridge) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) && e.Message != strayChallenge {
		return to.AddCore(e, b)
	}
	return to
}

// Write implements zapcore.Core.
func (b bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	values := zapcore.NewMapObjectEncoder()
	attrs := make([]slog.Attr, 0, len(b.fields)+len(fields))
	for _, list := range [][]zapcore.Field{b.fields, fields} {
		for _, f := range list {
			f.AddTo(values)
			if v, ok := values.Fields[f.Key]; ok {
				attrs = append(attrs, slog.Any(f.Key, v))
			}
		}
	}
	b.log.LogAttrs(context.Background(), levelOf(e.Level), "acme: "+e.Message, attrs...)
	return nil
}

// Sync implements zapcore.Core.
func (b bridge) Sync() error { return nil }
