// The lura command is a gateway of nothing but github.com/luraproject/lura, the
// engine of KrakenD, for "banyan bench gateway --peers". KrakenD itself
// (github.com/krakend/krakend-ce) could not be had from the module proxy: v2.7.0
// to v2.10.0 were refused.
//
//	lura -c FILE [-log FILE]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/luraproject/lura/v2/config"
	"github.com/luraproject/lura/v2/logging"
	"github.com/luraproject/lura/v2/proxy"
	"github.com/luraproject/lura/v2/router/gin"
	"github.com/luraproject/lura/v2/transport/http/server"
)

func main() {
	file := flag.String("c", "lura.json", "configuration `FILE`")
	log := flag.String("log", "", "`FILE` that gets the access log")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *file, *log); err != nil {
		fmt.Fprintln(os.Stderr, "lura:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file, log string) error {
	c, err := config.NewParser().Parse(file)
	if err != nil {
		return err
	}
	logger, err := logging.NewLogger("ERROR", os.Stderr, "[LURA]")
	if err != nil {
		return err
	}
	var access io.Writer = io.Discard
	if log != "" {
		f, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		access = f
	}
	gin.NewFactory(gin.Config{
		Engine:         gin.NewEngine(c, gin.EngineOptions{Logger: logger, Writer: access}),
		HandlerFactory: gin.EndpointHandler,
		ProxyFactory:   proxy.DefaultFactory(logger),
		Logger:         logger,
		RunServer: func(ctx context.Context, c config.ServiceConfig, h http.Handler) error {
			err = server.RunServer(ctx, c, h)
			return err
		},
	}).NewWithContext(ctx).Run(c)
	if errors.Is(err, http.ErrServerClosed) || ctx.Err() != nil {
		return nil
	}
	return err
}
