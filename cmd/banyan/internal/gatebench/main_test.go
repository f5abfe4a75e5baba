package gatebench_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/cmd/banyan/internal/gatebench"
)

// TestMain is also the program that the benchmark starts: its sides are processes
// of this one.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "bench" && os.Args[2] == "gateway-server" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err := gatebench.Serve(ctx, os.Args[3], os.Args[4], os.Args[5])
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
