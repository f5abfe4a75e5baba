package sqlite_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// brokenDiskEnv holds the file that the child of TestWriteError writes to.
const brokenDiskEnv = "BANYAN_SQLITE_BROKEN_DISK"

func TestMain(m *testing.M) {
	for env, run := range map[string]func(path string) error{childEnv: child, brokenDiskEnv: brokenDisk} {
		path := os.Getenv(env)
		if path == "" {
			continue
		}
		if err := run(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
