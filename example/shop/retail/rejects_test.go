package retail_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/example/shop/retail"
)

func TestWriteRejects(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rejects.csv")
	rejects := []retail.Reject{
		{File: "b.csv", Line: 3, Invoice: "2", Reason: "price 0"},
		{File: "a.csv", Line: 100, Invoice: "1", Reason: `quantity "-1", not above 0`},
		{File: "a.csv", Line: 20, Invoice: "1", Reason: "first"},
		{File: "a.csv", Line: 20, Invoice: "1", Reason: "second"},
	}
	given := append([]retail.Reject(nil), rejects...)
	for _, step := range []struct {
		rejects []retail.Reject
		want    string
	}{
		{nil, "file,line,reason,invoice\n"},
		{rejects, "file,line,reason,invoice\n" +
			"a.csv,20,first,1\n" +
			"a.csv,20,second,1\n" +
			"a.csv,100,\"quantity \"\"-1\"\", not above 0\",1\n" +
			"b.csv,3,price 0,2\n"},
		{rejects[:1], "file,line,reason,invoice\nb.csv,3,price 0,2\n"},
	} {
		if err := retail.WriteRejects(path, step.rejects); err != nil {
			t.Fatalf("WriteRejects: %v", err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, string(got)); diff != "" {
			t.Errorf("file (-want +got):\n%s", diff)
		}
		checkAlone(t, path)
	}
	if diff := cmp.Diff(given, rejects); diff != "" {
		t.Errorf("the caller's slice was changed:\n%s", diff)
	}
}

func checkAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("folder holds %v, want %s alone", entries, filepath.Base(path))
	}
}

func TestDraftOfACrashIsOverwritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rejects.csv")
	if err := os.WriteFile(path+".new", []byte(strings.Repeat("half a file", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := retail.WriteRejects(path, nil); err != nil {
		t.Fatalf("WriteRejects: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "file,line,reason,invoice\n" {
		t.Errorf("got %q, %v", got, err)
	}
	checkAlone(t, path)
}

func TestRejectsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	absent := filepath.Join(t.TempDir(), "absent", "rejects.csv")
	if err := retail.WriteRejects(absent, nil); !errors.Is(err, fs.ErrNotExist) ||
		!strings.HasPrefix(err.Error(), "retail: write rejects to "+absent+": ") {
		t.Errorf("absent folder: got %v", err)
	}
	folder := filepath.Join(t.TempDir(), "rejects.csv") // in the way of the rename
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := retail.WriteRejects(folder, nil); err == nil {
		t.Error("a folder was replaced by a file")
	}
	checkAlone(t, folder)
}
