package banyantest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/banyantest"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
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

func ExampleProjection() {
	t := printer{} // in a test: its *testing.T
	type visits struct{ Of, Left int }
	people := view.NewCollection[visits]("people")
	define := func(invite func(context.Context, string) error) *projection.Definition {
		d := projection.Define("visits", types, &projection.Options{Collections: []projection.Collection{people}})
		projection.On(d, func(ctx context.Context, b *projection.Batch, o opened, _ banyan.Event) error {
			b.Effect(func(ctx context.Context) error { return invite(ctx, o.First) })
			return people.Update(ctx, b.Writer(), o.Last, func(v *visits) error { v.Of++; return nil })
		})
		return d
	}

	var invited banyantest.Effects[string]
	banyantest.Projection(t, types, define(invited.Run)).
		Given("door-1", opened{"Ann", "Lee"}, shut{}).
		When("door-2", opened{"Bob", "Lee"}).
		Then(banyantest.Documents(people, map[string]visits{"Lee": {Of: 2}}), invited.Ran("Ann", "Bob")).
		WhenRebuilt().
		Then(banyantest.Document(people, "Lee", visits{Of: 2, Left: 1}), invited.Ran("Ann", "Bob"))
	// Output:
	// collection people has other documents (- wanted, + there):
	//   Lee
	//     {
	//       "Of": 2,
	// -     "Left": 1
	// +     "Left": 0
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
