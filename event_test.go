package banyan_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
)

var uuid7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestNewID(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 2000
	ids := make([][]string, workers)
	before := time.Now().UnixMilli()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				ids[w] = append(ids[w], banyan.NewID())
			}
		})
	}
	wg.Wait()
	after := time.Now().UnixMilli()
	seen := map[string]bool{}
	for _, list := range ids {
		last := before
		for _, id := range list {
			if !uuid7.MatchString(id) {
				t.Fatalf("%s is not a UUID of version 7", id)
			}
			if seen[id] {
				t.Fatalf("%s was made twice", id)
			}
			seen[id] = true
			var high, low int64
			if _, err := fmt.Sscanf(id, "%08x-%04x", &high, &low); err != nil {
				t.Fatal(err)
			}
			ms := high<<16 | low
			if ms < last || ms > after {
				t.Fatalf("%s says %d ms, want from %d to %d in ascending order", id, ms, last, after)
			}
			last = ms
		}
	}
}

func TestCategory(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]string{
		"order-536365": "order", "order": "order", "": "", "-1": "", "order-a-b": "order", "straße-1": "straße",
	} {
		if got := banyan.Category(stream); got != want {
			t.Errorf("Category(%q) = %q, want %q", stream, got, want)
		}
		if got := (banyan.Event{Stream: stream}).Category(); got != want {
			t.Errorf("the category of an event in %q is %q, want %q", stream, got, want)
		}
	}
}

func TestMetadataOr(t *testing.T) {
	t.Parallel()
	full := banyan.Metadata{Correlation: "a", Causation: "b", Actor: "c", Tenant: "d", TraceParent: "e", Extra: map[string]string{"k": "v"}}
	other := banyan.Metadata{Correlation: "1", Causation: "2", Actor: "3", Tenant: "4", TraceParent: "5", Extra: map[string]string{"l": "w"}}
	cases := map[string]struct{ m, other, want banyan.Metadata }{
		"nothing":           {banyan.Metadata{}, banyan.Metadata{}, banyan.Metadata{}},
		"only the other":    {banyan.Metadata{}, full, full},
		"only the first":    {full, banyan.Metadata{}, full},
		"the first wins":    {full, other, full},
		"field by field":    {banyan.Metadata{Actor: "c"}, other, banyan.Metadata{Correlation: "1", Causation: "2", Actor: "c", Tenant: "4", TraceParent: "5", Extra: other.Extra}},
		"extra as a whole":  {banyan.Metadata{Extra: full.Extra}, other, banyan.Metadata{Correlation: "1", Causation: "2", Actor: "3", Tenant: "4", TraceParent: "5", Extra: full.Extra}},
		"an empty map is 0": {banyan.Metadata{Extra: map[string]string{}}, full, full},
	}
	for name, c := range cases {
		if diff := cmp.Diff(c.want, c.m.Or(c.other)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestCaused(t *testing.T) {
	t.Parallel()
	first := banyan.Event{ID: "1", Meta: banyan.Metadata{Actor: "ann"}}
	second := banyan.Event{ID: "2", Meta: banyan.Caused(first)}
	if diff := cmp.Diff(banyan.Metadata{Correlation: "1", Causation: "1", Actor: "ann"}, second.Meta); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(banyan.Metadata{Correlation: "1", Causation: "2", Actor: "ann"}, banyan.Caused(second)); diff != "" {
		t.Error(diff)
	}
}

func TestMetadataInContext(t *testing.T) {
	t.Parallel()
	if m := banyan.MetadataFrom(context.Background()); !m.IsZero() {
		t.Errorf("an empty context carries %+v", m)
	}
	want := banyan.Metadata{Actor: "ann"}
	if diff := cmp.Diff(want, banyan.MetadataFrom(banyan.WithMetadata(context.Background(), want))); diff != "" {
		t.Error(diff)
	}
}

func TestKindAndRetryable(t *testing.T) {
	t.Parallel()
	retryable := map[error]bool{banyan.ErrUnavailable: true, banyan.ErrUnknown: true}
	kinds := []error{
		banyan.ErrConflict, banyan.ErrNotFound, banyan.ErrExists, banyan.ErrInvalid, banyan.ErrDenied,
		banyan.ErrGone, banyan.ErrCorrupt, banyan.ErrClosed, banyan.ErrUnavailable, banyan.ErrUnknown,
	}
	for _, kind := range kinds {
		err := fmt.Errorf("outer: %w", fmt.Errorf("inner: %w: cause", kind))
		if got := banyan.Kind(err); !errors.Is(got, kind) {
			t.Errorf("Kind(%v) = %v", err, got)
		}
		if got := banyan.Retryable(err); got != retryable[kind] {
			t.Errorf("Retryable(%v) = %v", err, got)
		}
		if both := fmt.Errorf("%w: %w", kind, banyan.ErrUnknown); !errors.Is(banyan.Kind(both), banyan.ErrUnknown) {
			t.Errorf("Kind(%v) = %v: what is not known must not look settled", both, banyan.Kind(both))
		}
	}
	for _, err := range []error{nil, errors.New("other"), context.Canceled} {
		if banyan.Kind(err) != nil || banyan.Retryable(err) {
			t.Errorf("%v has kind %v, retryable %v", err, banyan.Kind(err), banyan.Retryable(err))
		}
	}
}

func TestStopped(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		fmt.Errorf("x: %w", context.Canceled): true, context.DeadlineExceeded: true, banyan.ErrClosed: false,
	} {
		if banyan.Stopped(err) != want {
			t.Errorf("Stopped(%v) = %v", err, !want)
		}
	}
}
