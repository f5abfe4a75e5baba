package sqlite_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/view"
	"github.com/banyanhq/banyan/view/viewtest"
)

func TestViews(t *testing.T) {
	t.Parallel()
	type file struct {
		path string
		db   *sqlite.DB
	}
	var mu sync.Mutex
	files := map[view.Backend]file{}
	use := func(t testing.TB, path string) view.Backend {
		f := file{path: path, db: open(t, path, nil)}
		b := f.db.ViewBackend()
		mu.Lock()
		defer mu.Unlock()
		files[b] = f
		return b
	}
	viewtest.Run(t, viewtest.Harness{
		Open: func(t testing.TB) view.Backend { return use(t, filepath.Join(t.TempDir(), "views.db")) },
		Reopen: func(t testing.TB, b view.Backend) view.Backend {
			mu.Lock()
			f := files[b]
			mu.Unlock()
			if err := f.db.Close(); err != nil {
				t.Fatal(err)
			}
			return use(t, f.path)
		},
	})
}
