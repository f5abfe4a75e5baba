package demo

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"

	"github.com/banyanhq/banyan/app"
)

// listenNear opens the App at its address or, when that cannot be had, at a free
// port of the same host.
func (d *demo) listenNear(ctx context.Context, c app.Config) (*app.App, error) {
	a, err := app.New(ctx, c)
	var listening *net.OpError
	if err == nil || !errors.As(err, &listening) || listening.Op != "listen" {
		return a, err
	}
	host, _, splitErr := net.SplitHostPort(c.Listen)
	if splitErr != nil {
		return nil, err
	}
	taken := c.Listen
	c.Listen = net.JoinHostPort(host, "0")
	a, again := app.New(ctx, c)
	if again != nil {
		return nil, err // the address that was asked for is what matters
	}
	d.say("%s is taken; serving at %s instead.", taken, a.Addr())
	return a, nil
}

// newLog logs what a person should know and keeps quiet otherwise: the terminal
// belongs to the progress bar.
func newLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
