package main

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestOutputOfGoTest(t *testing.T) {
	t.Parallel()
	const passed = `=== RUN   TestOrder
=== PAUSE TestOrder
    order_test.go:70: LONG R7: 1000 events, 0 missed
    order_test.go:71: LONG R7b: of somebody else
--- PASS: TestOrder (1.00s)
    --- SKIP: TestOrder/part (0.00s)
PASS
ok  	github.com/banyanhq/banyan/postgres	1.2s
`
	for name, c := range map[string]struct {
		out     string
		exit    error
		did     string
		faults  int
		err     string
		skipped bool
	}{
		"passed":     {passed, nil, "1000 events, 0 missed", 0, "", false},
		"twice":      {passed + passed, nil, "1000 events, 0 missed; 1000 events, 0 missed", 0, "", false},
		"failed":     {passed + "--- FAIL: TestMachine (0.00s)\n", errors.New("exit status 1"), "1000 events, 0 missed", 2, "", false},
		"no build":   {"FAIL	example [build failed]\n", errors.New("exit status 1"), "", 0, "build failed", false},
		"skipped":    {"--- SKIP: TestOrder (0.00s)\n    needs postgres\nok  	x	0.1s\n", nil, "", 0, "TestOrder", true},
		"missing":    {passed + "ok  	example.org/mem	0.1s [no tests to run]\n", nil, "1000 events, 0 missed", 0, "no such test in example.org/mem", false},
		"no figures": {"--- PASS: TestOrder (1.00s)\nok  	x	0.1s\n", nil, "", 0, "no figures", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &testOutput{guarantee: "R7"}
			r.read(strings.NewReader(c.out), io.Discard)
			o, err := r.outcome(c.exit)
			if o.did != c.did || len(o.faults) != c.faults {
				t.Errorf("did %q with faults %q, want %q with %d", o.did, o.faults, c.did, c.faults)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want one with %q", err, c.err)
			}
			var skip skipError
			if errors.As(err, &skip) != c.skipped {
				t.Errorf("error %v is a skip: %v, want %v", err, !c.skipped, c.skipped)
			}
		})
	}
}
