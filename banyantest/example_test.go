package banyantest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/banyanhq/banyan/banyantest"
)

// printer stands for the *testing.T of a test.
type printer struct{}

func (printer) Helper() {}
func (printer) Errorf(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format+"\n", args...)) {
		fmt.Println(strings.TrimRight(line, " \n"))
	}
}

func ExampleAggregate() {
	t := printer{} // in a test: its *testing.T
	banyantest.Aggregate[door](t, "door", types).
		Given(opened{"Ann", "Lee"}).
		When(shutDoor).
		Then(shut{})
	banyantest.Aggregate[door](t, "door", types).
		When(openDoor("Ann", "Lee")).
		Then(opened{"Ann", "Li"})
	// Output:
	// other events happened (- wanted, + happened):
	//   door.opened v2
	//     {
	//       "First": "Ann",
	// -     "Last": "Li"
	// +     "Last": "Lee"
	//     }
}

func ExampleGolden() {
	// In a test, with its *testing.T and a folder of the repository:
	//
	//	banyantest.Golden(t, Types, "testdata/events", opened{"Ann", "Lee"}, shut{})
	//
	// Here somebody has added field Last to the event without a new version.
	dir, err := os.MkdirTemp("", "golden")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{"door.opened.v2.json": `{"First":"Ann"}`, "door.shut.v1.json": `{}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			fmt.Println(err)
		}
	}
	failures := &recorder{}
	banyantest.Golden(failures, types, dir)
	_, diff, _ := strings.Cut(failures.failures[0], "write it anew:\n")
	fmt.Print(diff)
	// Output:
	//   {
	// -     "First": "Ann"
	// +     "First": "Ann",
	// +     "Last": ""
	//     }
}
