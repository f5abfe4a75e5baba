package main

import (
	"strings"
	"testing"
)

func TestParser(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines string
		hits  int
		syncs int
		first call
	}{
		"one process, without a number": {
			`pwrite64(4</d/a.db-wal>, "x"..., 4096, 0) = 4096
fdatasync(4</d/a.db-wal>)               = -1 EIO (Input/output error) (INJECTED)`,
			1, 1,
			call{name: "fdatasync", path: "/d/a.db-wal", dirty: true},
		},
		"several, of which the second fails": {
			`[pid    12] pwrite64(4</d/a.db-wal>, "x"..., 4096, 0) = 4096
[pid    12] fdatasync(4</d/a.db-wal>)   = 0
[pid 31234] fdatasync(4</d/a.db-wal>)   = -1 EIO (Input/output error) (INJECTED)
[pid    12] fsync(5</d/a.db>)           = -1 EIO (Input/output error) (INJECTED)`,
			2, 3,
			call{pid: 31234, name: "fdatasync", path: "/d/a.db-wal"},
		},
		"a call that others interrupt": {
			`[pid    12] pwrite64(4</d/a.db-wal>, "x"..., 4096, 0 <unfinished ...>
[pid    13] fsync(5</d> <unfinished ...>
[pid    12] <... pwrite64 resumed>)         = 4096
[pid    12] fdatasync(4</d/a.db-wal> <unfinished ...>
[pid    13] <... fsync resumed>)            = 0
[pid    12] <... fdatasync resumed>)        = -1 EIO (Input/output error) (INJECTED)`,
			1, 2,
			call{pid: 12, name: "fdatasync", path: "/d/a.db-wal", dirty: true},
		},
		"another file is written": {
			`pwrite64(4</d/a.db>, "x"..., 4096, 0) = 4096
+++ exited with 0 +++
fsync(5</d/a.db-wal>) = -1 EIO (Input/output error) (INJECTED)`,
			1, 1,
			call{name: "fsync", path: "/d/a.db-wal"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := parser{open: map[string]call{}, dirty: map[string]bool{}}
			for line := range strings.SplitSeq(c.lines, "\n") {
				p.note(line)
			}
			if p.hits != c.hits || p.syncs != c.syncs || p.first != c.first {
				t.Errorf("%d failed, %d synced, first %+v; want %d, %d, %+v", p.hits, p.syncs, p.first, c.hits, c.syncs, c.first)
			}
		})
	}
}
