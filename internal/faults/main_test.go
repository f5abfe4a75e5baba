package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"R3-sqlite R1-sqlite": "R1-sqlite R3-sqlite",
		"R7 R7":               "R7",
		"R99":                 `no campaign "R99"`,
		"all R99":             `no campaign "R99"`,
		"":                    "say which",
	} {
		chosen, err := choose(campaigns(), strings.Fields(args))
		var ids []string
		for _, c := range chosen {
			ids = append(ids, c.id)
		}
		if err != nil && strings.Contains(err.Error(), want) {
			continue
		}
		if got := strings.Join(ids, " "); got != want || err != nil {
			t.Errorf("%q chooses %q, %v; want %q", args, got, err, want)
		}
	}
	if all, err := choose(campaigns(), []string{"all"}); err != nil || len(all) != len(campaigns()) {
		t.Errorf("all chooses %d of %d, %v", len(all), len(campaigns()), err)
	}
}

func TestListNamesEveryCampaignOnce(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	printList(&b, campaigns())
	for _, c := range campaigns() {
		if c.what == "" || c.usual == "" || strings.Count(b.String(), "\n"+c.id+" ") != 1 {
			t.Errorf("%s is not in the list once, with all it needs:\n%s", c.id, b.String())
		}
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	base := row{id: "R1", start: start, took: 90 * time.Second, seed: 7, scale: 100, outcome: outcome{did: "5 kills", acked: 1234567}}
	with := func(change func(*row)) row {
		r := base
		change(&r)
		return r
	}
	for _, c := range []struct {
		row  row
		text string
		code int
	}{
		{base, "| R1 | 2026-11-21 | 7 | 5 kills | 1,234,567 | 0 | 1m30s |", 0},
		{with(func(r *row) { r.scale = 2; r.acked = -1 }), "| R1 | 2026-11-21 | 7 | 5 kills (scale 2 %) | – | 0 | 1m30s |", 0},
		{with(func(r *row) { r.faults = []string{"a"} }), "| R1 | 2026-11-21 | 7 | 5 kills | 1,234,567 | **1 faults** | 1m30s |", 1},
		{with(func(r *row) { r.bug = "b"; r.faults = []string{"a"} }), "| R1 | 2026-11-21 | 7 | control, b: 5 kills | 1,234,567 | caught: 1 faults | 1m30s |", 0},
		{with(func(r *row) { r.bug = "b" }), "| R1 | 2026-11-21 | 7 | control, b: 5 kills | 1,234,567 | **not caught** | 1m30s |", 1},
		{with(func(r *row) { r.skipped = "no root" }), "| R1 | 2026-11-21 | 7 | **not run**: no root | – | – | 1m30s |", 2},
		{with(func(r *row) { r.err = errors.New("a|b\nc") }), "| R1 | 2026-11-21 | 7 | 5 kills | – | **failed**: a/b c | 1m30s |", 1},
	} {
		if got := c.row.String(); got != c.text {
			t.Errorf("row\n%s, want\n%s", got, c.text)
		}
		if got := exitCode([]row{base, c.row}, true); got != c.code {
			t.Errorf("exit code %d of\n%s, want %d", got, c.text, c.code)
		}
	}
	skipped := with(func(r *row) { r.skipped = "no root" })
	if got := exitCode([]row{skipped}, false); got != 0 {
		t.Errorf("exit code %d of a skipped campaign without -require, want 0", got)
	}
}

func TestWrongArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"R99"}, {"-scale", "0", "all"}, {"-scale", "-1", "all"}, {"-unknown"}} {
		if code, err := command(t.Context(), args); code != 2 {
			t.Errorf("%q: exit code %d, %v; want 2", args, code, err)
		}
	}
}

// TestShortRuns is some rounds of the campaigns that need neither root nor a
// server, and their planted bugs.
func TestShortRuns(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a program and kills it some times; run without -short")
	}
	file := filepath.Join(t.TempDir(), "rows.md")
	for _, args := range [][]string{
		{"-scale", "1", "-o", file, "R1-sqlite", "R3-sqlite", "R6-sqlite"},
		{"-scale", "2", "-o", file, "-control", "R1-sqlite"},
		{"-scale", "1", "-o", file, "-control", "-seed", "1", "R3-sqlite", "R6-sqlite"},
	} {
		code, err := command(t.Context(), args)
		if code != 0 || err != nil {
			text, _ := os.ReadFile(file)
			t.Errorf("faults %q: exit code %d, %v; want 0\n%s", args, code, err, text)
		}
	}
	text, err := os.ReadFile(file)
	if got := strings.Count(string(text), "\n| R"); err != nil || got != 7 || strings.Count(string(text), header) != 1 {
		t.Errorf("%d rows, %v, want 7 below one header:\n%s", got, err, text)
	}
}
