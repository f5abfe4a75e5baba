package storetest

import (
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// logChecks are about the order of the log, pages and filters.
func logChecks() []check {
	return []check{
		{"LogOfNothing", logOfNothing},
		{"LogOrderAgreesWithStreams", logOrderAgreesWithStreams},
		{"LogIsTheSameForAll", logIsTheSameForAll},
		{"LogEveryPageSize", logEveryPageSize},
		{"LogAfterEveryPosition", logAfterEveryPosition},
		{"LogFilterByType", logFilterByType},
		{"LogFilterByPrefix", logFilterByPrefix},
		{"LogFilterByBoth", logFilterByBoth},
		{"LogPrefixesAreExact", logPrefixesAreExact},
		{"LogNextMovesPastWhatDoesNotMatch", logNextMovesPastWhatDoesNotMatch},
		{"LogNextStaysAtTheEnd", logNextStaysAtTheEnd},
	}
}

// mixed fills a log with several streams and types, in groups.
func (k *kit) mixed() []store.Record {
	k.Helper()
	types := []string{"order.placed", "order.paid", "stock.moved", "order.placed2"}
	n := 0
	for i := range 12 {
		var group []store.Commit
		for j := range 4 {
			stream := fmt.Sprintf("%s-%d", []string{"order", "stock", "orders"}[(i+j)%3], (i*j)%4)
			group = append(group, k.commit(write(stream, store.Any, event(types[(i+2*j)%4], "1"), event(types[(i+j)%4], "2"))))
			n += 2
		}
		k.append(group...)
	}
	k.put(k.commit(write("order-0", store.Any, event("order.paid", "3")), write("rare-1", store.NoStream, event("rare", "4")), write("stock-0", store.Any, event("stock.moved", "5"))))
	return k.log(n + 3)
}

func logOfNothing(k *kit) {
	records, next := k.page(0, store.Filter{}, 10)
	if len(records) != 0 || next != 0 {
		k.Fatalf("an empty log gave %d records, next %d", len(records), next)
	}
}

func logOrderAgreesWithStreams(k *kit) {
	heads := map[string]banyan.Revision{}
	for _, r := range k.mixed() {
		if heads[r.Stream]++; r.Revision != heads[r.Stream] {
			k.Fatalf("position %d is %s@%d; want revision %d", r.Position, r.Stream, r.Revision, heads[r.Stream])
		}
	}
	for stream, n := range heads {
		k.revision(stream, int(n))
	}
}

func logIsTheSameForAll(k *kit) {
	all := k.mixed()
	k.same("second reading", k.pages(store.Filter{}, 1000), all)
	byID := make([]string, len(all))
	for i, r := range all {
		byID[i] = r.ID
	}
	for id, r := range k.lookup(byID...) {
		if r.Position == 0 {
			k.Fatalf("event %s was read from the log, but Lookup has no position", id)
		}
	}
	for _, r := range all {
		k.same("stream "+r.Stream, k.slice(r.Stream, store.Range{From: r.Revision, Limit: 1}), []store.Record{r})
	}
	k.fill("later-1", 3)
	k.same("reading after more appends", k.log(len(all) + 3)[:len(all)], all)
}

func logEveryPageSize(k *kit) {
	all := k.mixed()
	filters := []store.Filter{{}, {Types: []string{"order.paid"}}, {Prefixes: []string{"order-"}}, {Types: []string{"rare"}, Prefixes: []string{"rare-"}}, {Types: []string{"no such"}}}
	for _, f := range filters {
		want := filter(all, f)
		for size := 1; size <= len(all)+1; size++ {
			k.same(fmt.Sprintf("pages of %d, filter %+v", size, f), k.pages(f, size), want)
		}
	}
}

func logAfterEveryPosition(k *kit) {
	all := k.mixed()
	for i, r := range all {
		for _, limit := range []int{1, 3, 1000} {
			records, _ := k.page(r.Position, store.Filter{}, limit)
			k.same(fmt.Sprintf("after %d, limit %d", r.Position, limit), records, all[i+1:min(i+1+limit, len(all))])
		}
	}
}

func logFilterByType(k *kit) {
	all := k.mixed()
	for _, types := range [][]string{{"order.placed"}, {"order.paid", "stock.moved"}, {"order"}, {"ORDER.PLACED"}, {"order.%"}, {""}} {
		f := store.Filter{Types: types}
		k.same(fmt.Sprintf("types %q", types), k.pages(f, 1000), filter(all, f))
	}
}

func logFilterByPrefix(k *kit) {
	all := k.mixed()
	for _, prefixes := range [][]string{{"order-"}, {"order"}, {"stock-1", "order-2"}, {"order", "order-1"}, {"order-0"}, {"ORDER"}, {"none-"}, {""}} {
		f := store.Filter{Prefixes: prefixes}
		k.same(fmt.Sprintf("prefixes %q", prefixes), k.pages(f, 1000), filter(all, f))
	}
}

func logFilterByBoth(k *kit) {
	all := k.mixed()
	f := store.Filter{Types: []string{"order.placed", "order.paid"}, Prefixes: []string{"order-", "stock-"}}
	want := filter(all, f)
	if len(want) == 0 || len(want) == len(all) {
		k.Fatalf("the filter selects %d of %d; the check would prove nothing", len(want), len(all))
	}
	k.same("both", k.pages(f, 1000), want)
}

// logPrefixesAreExact has prefixes that mean something else in SQL, in a
// collation, or as a byte string without an upper neighbour.
func logPrefixesAreExact(k *kit) {
	streams := []string{"a%b-1", "axb-1", "a_b-1", "a*b-1", "a[b]-1", `a\b-1`, "a'b-1", "A_b-1", "é-1", "e\u0301-1", "É-1", "🦫-1", "\U0010ffff-1", "\U0010ffff\U0010ffff-1", "z-1"}
	for _, s := range streams {
		k.fill(s, 1)
	}
	all := k.log(len(streams))
	for _, s := range streams {
		for cut := range s {
			if cut == 0 {
				continue
			}
			f := store.Filter{Prefixes: []string{s[:cut]}}
			k.same(fmt.Sprintf("prefix %q", s[:cut]), k.pages(f, 7), filter(all, f))
		}
	}
}

func logNextMovesPastWhatDoesNotMatch(k *kit) {
	k.fill("a-1", 30)
	k.fill("b-1", 1)
	k.fill("a-1", 30)
	all := k.log(61)
	end := all[60].Position
	f := store.Filter{Prefixes: []string{"b-"}}
	var found []store.Record
	after, steps := banyan.Position(0), 0
	for after < end {
		if steps++; steps > 61 {
			k.Fatalf("after %d pages of 1 the reader is at %d of %d", steps, after, end)
		}
		records, next := k.page(after, f, 1)
		if next == after {
			k.Fatalf("next stays at %d although the log goes on to %d", after, end)
		}
		found, after = append(found, records...), next
	}
	k.same("found", found, all[30:31])
}

func logNextStaysAtTheEnd(k *kit) {
	k.fill("a-1", 3)
	end := k.log(3)[2].Position
	for _, f := range []store.Filter{{}, {Types: []string{"no such"}}} {
		for _, after := range []banyan.Position{end, end + 100} {
			if records, next := k.page(after, f, 10); len(records) != 0 || next != after {
				k.Fatalf("behind the end at %d: %d records, next %d", after, len(records), next)
			}
		}
	}
}
