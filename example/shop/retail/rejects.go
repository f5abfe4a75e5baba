package retail

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
)

// Reject is a row that was not imported.
type Reject struct {
	// File and Line say where the row starts.
	File string
	Line int
	// Invoice is the number of the invoice that the row belongs to.
	Invoice string
	// Reason says to a person why it was rejected.
	Reason string
}

// WriteRejects writes a CSV file with the columns file, line, reason and invoice,
// in order of file and line; equal ones stay in the order given. The file appears
// at path whole and durable, in place of one that is there, or not at all: it is
// written beside path, as path+".new", and renamed. Two writers must not use one
// path at the same time.
func WriteRejects(path string, rejects []Reject) error {
	if err := replace(path, sorted(rejects)); err != nil {
		return fmt.Errorf("retail: write rejects to %s: %w", path, err)
	}
	return nil
}

func sorted(rejects []Reject) []Reject {
	rejects = slices.Clone(rejects)
	slices.SortStableFunc(rejects, func(a, b Reject) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return rejects
}

func replace(path string, rejects []Reject) error {
	// A fixed name: what a crash leaves behind is overwritten by the next run.
	draft := path + ".new"
	if err := writeDurably(draft, rejects); err != nil {
		os.Remove(draft) // the error that matters is the one before
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		os.Remove(draft)
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func writeDurably(path string, rejects []Reject) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = writeRejects(f, rejects)
	if err == nil {
		err = f.Sync()
	}
	return cmp.Or(err, f.Close())
}

func writeRejects(f *os.File, rejects []Reject) error {
	w := csv.NewWriter(f)
	records := make([][]string, 0, len(rejects)+1)
	records = append(records, []string{"file", "line", "reason", "invoice"})
	for _, r := range rejects {
		records = append(records, []string{r.File, strconv.Itoa(r.Line), r.Reason, r.Invoice})
	}
	return w.WriteAll(records)
}

// syncFolder makes a rename durable. Windows has no such call for folders, and
// needs none: its file systems journal a rename.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return cmp.Or(dir.Sync(), dir.Close())
}
