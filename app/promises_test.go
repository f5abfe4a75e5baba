package app_test

import (
	"os"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/store"
)

// TestGuaranteesShowThePromises: docs/guarantees.md has a row for each promise
// of a back end, and says of each of them what its code says.
func TestGuaranteesShowThePromises(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{} // the cells of each row by the name in back quotes
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if _, name, ok := strings.Cut(cells[0], "(`"); ok && len(cells) == 4 {
			name, _, _ = strings.Cut(name, "`")
			rows[name] = cells[1:]
		}
	}
	for column, dsn := range []string{"mem:", "sqlite:promises.db", pgtest.Database(t)} {
		p := promises(t, dsn)
		for name, kept := range map[string]bool{
			"Durable": p.Durable, "Shared": p.Shared, "GapFree": p.GapFree, "PositionOnAppend": p.PositionOnAppend, "Snapshots": p.Snapshots,
		} {
			if len(rows[name]) == 0 {
				t.Fatalf("docs/guarantees.md has no row with (`%s`) and a cell for each back end", name)
			}
			want := "no"
			if kept {
				want = "yes"
			}
			if cell := strings.TrimSpace(rows[name][column]); !strings.HasPrefix(cell, want) {
				t.Errorf("docs/guarantees.md: %s of %s: %q; want %s", name, p.Backend, cell, want)
			}
		}
	}
}

func promises(t *testing.T, dsn string) store.Promises {
	t.Helper()
	db, err := app.Open(t.Context(), dsn, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := s.Promises()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return p
}
