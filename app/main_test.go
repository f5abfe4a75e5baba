package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/internal/pgtest"
)

// TestMain also plays the service whose main function is tested: the tests start
// this binary again with BANYAN_TEST_MAIN set.
func TestMain(m *testing.M) {
	if os.Getenv("BANYAN_TEST_MAIN") != "" {
		app.Main("orders", service)
	}
	goleak.VerifyTestMain(pgtest.Main(m))
}

func service(a *app.App) error {
	if a.Setting("broken") != "" {
		return errors.New("setup says: " + a.Setting("broken"))
	}
	if leak := a.Setting("leak"); leak != "" {
		_, err := a.Database(context.Background(), a.Setting("other"))
		a.Log.Info("leaky", "text", "the password is "+leak)
		return err
	}
	a.Handle("GET /hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "hello")
	}))
	a.Go("announce", func(ctx context.Context) error {
		fmt.Println(a.Addr())
		<-ctx.Done()
		fmt.Println("stopped")
		return nil
	})
	return nil
}
