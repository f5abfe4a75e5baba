package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx" of database/sql

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/store"
)

// These examples need a server, and an example with "Output:" cannot be skipped
// where there is none. So what they print is in a comment "Prints:", and
// TestExamples runs them and compares.

func ExampleOpen() {
	ctx := context.Background()
	db, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"), nil)
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
	defer orders.Close()
	result, err := orders.Append(ctx, "order-536365", store.NoStream,
		banyan.Event{Type: "order.placed", Data: []byte(`{"customer":"17850"}`)},
		banyan.Event{Type: "order.paid", Data: []byte(`{"amount":"139.12"}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("revision", result.Revision())
	for e, err := range orders.Read(ctx, "order-536365", store.ReadOptions{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.Revision, e.Type, string(e.Data))
	}
	for e, err := range orders.All(ctx, 0, store.Filter{Types: []string{"order.paid"}}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("position", e.Position, e.Stream)
	}
	// Prints:
	// revision 2
	// 1 order.placed {"customer":"17850"}
	// 2 order.paid {"amount":"139.12"}
	// position 2 order-536365
}

// An event and a row of the user's own table, both or neither.
func ExampleDB_InTx() {
	ctx := context.Background()
	db, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	invoice := func(number string) error {
		return db.InTx(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `create table if not exists invoice (number text primary key)`); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `insert into invoice values ($1)`, number); err != nil {
				return err
			}
			_, err := db.AppendTx(ctx, tx, store.Write{
				Stream: "order-536365",
				Expect: store.NoStream,
				Events: []banyan.Event{{Type: "order.invoiced", Data: []byte(`{"invoice":"` + number + `"}`)}},
			})
			return err // an error takes the row back
		})
	}
	fmt.Println(invoice("1001"))
	fmt.Println(errors.Is(invoice("1002"), banyan.ErrConflict))
	err = db.InTx(ctx, func(tx pgx.Tx) error {
		var rows int
		err := tx.QueryRow(ctx, `select count(*) from invoice`).Scan(&rows)
		fmt.Println(rows, "invoice")
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Prints:
	// <nil>
	// true
	// 1 invoice
}

// A transaction of the program's own connection. A refused append leaves it
// usable: here the customer is known already, and the order is placed anyway.
func ExampleDB_AppendTx() {
	ctx := context.Background()
	db, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(ctx)
	place := func(order string) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			_, err := db.AppendTx(ctx, tx, store.Write{
				Stream: "customer-17850",
				Expect: store.NoStream,
				Events: []banyan.Event{{Type: "customer.registered", Data: []byte(`{}`)}},
			})
			var conflict *store.ConflictError
			if errors.As(err, &conflict) {
				fmt.Println("customer is known, revision", conflict.Have)
			} else if err != nil {
				return err
			}
			result, err := db.AppendTx(ctx, tx, store.Write{
				Stream: "order-" + order,
				Expect: store.NoStream,
				Events: []banyan.Event{{ID: "placed-" + order, Type: "order.placed", Data: []byte(`{"customer":"17850"}`)}},
			})
			if err == nil {
				fmt.Println("order", order, "duplicate:", result.Duplicate)
			}
			return err
		})
	}
	for _, order := range []string{"536365", "536366", "536366"} { // the last request came twice
		if err := place(order); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Prints:
	// order 536365 duplicate: false
	// customer is known, revision 1
	// order 536366 duplicate: false
	// customer is known, revision 1
	// order 536366 duplicate: true
}

// The same for programs that use database/sql, with any driver.
func ExampleDB_AppendSQL() {
	ctx := context.Background()
	db, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"), nil)
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
	defer orders.Close()
	pool, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // or "postgres", the driver lib/pq
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tx.Rollback() // does nothing after the commit
	if _, err := tx.ExecContext(ctx, `create table invoice (number text primary key)`); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := tx.ExecContext(ctx, `insert into invoice values ($1)`, "1001"); err != nil {
		fmt.Println(err)
		return
	}
	result, err := db.AppendSQL(ctx, tx, store.Write{
		Stream: "order-536365",
		Expect: store.NoStream,
		Events: []banyan.Event{{Type: "order.invoiced", Data: []byte(`{"invoice":"1001"}`)}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := tx.Commit(); err != nil {
		fmt.Println(err)
		return
	}
	orders.Appended() // followers in this process need not wait for their next look
	position, err := orders.PositionOf(ctx, result.Token())
	fmt.Println("revision", result.Revision(), "position", position, err)
	// Prints:
	// revision 1 position 1 <nil>
}

func TestExamples(t *testing.T) { //nolint:paralleltest // it changes the environment and os.Stdout
	examples := map[string]func(){
		"ExampleOpen":         ExampleOpen,
		"ExampleDB_InTx":      ExampleDB_InTx,
		"ExampleDB_AppendTx":  ExampleDB_AppendTx,
		"ExampleDB_AppendSQL": ExampleDB_AppendSQL,
	}
	for name, want := range prints(t) {
		example := examples[name]
		if example == nil {
			t.Errorf("%s is not in the list of TestExamples", name)
			continue
		}
		t.Setenv("DATABASE_URL", pgtest.Database(t))
		if got := output(t, example); got != want {
			t.Errorf("%s prints\n%swant\n%s", name, got, want)
		}
	}
}

// prints returns what the examples of this file say they print.
func prints(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "example_test.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(f.Name.Name, "Example") {
			continue
		}
		all[f.Name.Name] = ""
		for _, c := range file.Comments {
			if text, ok := strings.CutPrefix(c.Text(), "Prints:\n"); ok && f.Body.Pos() < c.Pos() && c.End() < f.Body.End() {
				all[f.Name.Name] = text
			}
		}
	}
	return all
}

// output returns what f prints.
func output(t *testing.T, f func()) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	os.Stdout = file
	f()
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
