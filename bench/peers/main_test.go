package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan/internal/pgtest"
)

// Every system runs, refuses what it must refuse, and reads back all that it was
// given: compare checks that itself. The figures of so short a run mean nothing.
func TestRun(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := run(t.Context(), []string{"-rounds", "1", "-round", "20ms", "-events", "25", "-json"}, &out, io.Discard)
	if errors.Is(err, pgtest.ErrMissing) {
		pgtest.Require(t, "postgres", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Results []result }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if want := len(cases()) * (len(contenders()) - 1); len(got.Results) != want {
		t.Fatalf("%d results, want %d: %s", len(got.Results), want, out.String())
	}
	for _, r := range got.Results {
		if r.Rate <= 0 || r.Banyan <= 0 || r.Ratio != r.Banyan/r.Rate {
			t.Errorf("%+v: want rates above 0 and their ratio", r)
		}
		if !strings.Contains(r.System, " v") {
			t.Errorf("system %q: want its version", r.System)
		}
	}
}

// On a server of somebody else nothing is left behind.
func TestRunCleansUp(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Start(t, nil).DSN("postgres")
	if err := run(t.Context(), []string{"-url", dsn, "-rounds", "1", "-round", "20ms", "-events", "25"}, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var left int
	if err := conn.QueryRow(t.Context(), "select count(*) from pg_database where datname like 'banyan_peers_%'").Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("%d databases are left", left)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-rounds 0", "-round 0s", "-events 0", "more", "-url mysql://u:secret@127.0.0.1/x", "-url postgres://u:secret@127.0.0.1:1/x?sslmode=disable"} {
		err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard)
		if err == nil {
			t.Errorf("%s: no error", args)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the password: %v", args, err)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{7}, 7}, {[]float64{9, 1, 3}, 3}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}
