package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
)

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(ctx, filepath.Join(dir, "orders.db"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	orders, err := db.Store(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := orders.Append(ctx, "order-536365", store.NoStream,
		banyan.Event{Type: "order.placed", Data: []byte(`{"customer":"17850"}`)})
	fmt.Println(result.Revision(), err)
	for e, err := range orders.All(ctx, 0, store.Filter{}) {
		fmt.Println(e.Position, e.Stream, e.Type, err)
	}
	// Output:
	// 1 <nil>
	// 1 order-536365 order.placed <nil>
}

// An event and a row of the user's own table, both or neither.
func ExampleDB_AppendTx() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(ctx, filepath.Join(dir, "orders.db"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	err = db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE invoice (number TEXT PRIMARY KEY)`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO invoice VALUES ('536365')`); err != nil {
			return err
		}
		result, err := db.AppendTx(ctx, tx, store.Write{
			Stream: "order-536365",
			Expect: store.NoStream,
			Events: []banyan.Event{{Type: "order.invoiced", Data: []byte(`{"invoice":"536365"}`)}},
		})
		if err != nil {
			return err
		}
		fmt.Println("position", result.Events[0].Position)
		return nil
	})
	fmt.Println(err)
	// Output:
	// position 1
	// <nil>
}
