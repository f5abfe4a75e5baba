//go:build !unix

package sqlite_test

// brokenDisk needs a limit on the size of files, which only Unix has.
func brokenDisk(string) error { return nil }
