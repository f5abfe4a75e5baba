package viewtest_test

import (
	"testing"

	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/view"
	"github.com/banyanhq/banyan/view/viewtest"
)

func TestMem(t *testing.T) {
	t.Parallel()
	viewtest.Run(t, viewtest.Harness{Open: open})
}

func open(tb testing.TB) view.Backend {
	db := mem.Open()
	tb.Cleanup(func() { _ = db.Close() })
	return db.ViewBackend()
}
