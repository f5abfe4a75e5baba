package compose

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// group are the items that one call is for.
type group struct {
	target target
	items  []int
	texts  []string         // the values of a batch
	wants  map[string][]int // the items of each value of a batch
}

// maxItems are in a list of for_each at most, also if they need few calls.
const maxItems = 10_000

// each asks for a part for all items of a list.
func (r *run) each(ctx context.Context, p *part, res *result) state {
	var items []value
	err := p.list.shape.items(r.results[p.list.index].body, p.path, false, func(v value) { items = append(items, v) })
	switch {
	case err != nil:
	case len(items) > maxItems:
		err = fmt.Errorf("the list has more than %d items", maxItems)
	case p.as != "." && p.as != "-":
		err = objects(items)
	}
	if err != nil {
		return r.settle(p, err)
	}
	res.items = make([]answer, len(items))
	groups, err := r.groups(p, items, res)
	if left := int64(r.maxCalls) - r.calls.Load(); err == nil && int64(len(groups)) > left {
		err = fmt.Errorf("%d items would need %d calls, and %d are left of max_calls", len(items), len(groups), max(left, 0))
	}
	if err != nil {
		res.items = nil
		return r.settle(p, err)
	}
	var calls sync.WaitGroup
	for _, g := range groups {
		calls.Go(func() {
			defer r.caught()
			r.group(ctx, p, g, res.items)
		})
	}
	calls.Wait()
	for _, a := range res.items {
		res.partly = res.partly || a.state == missing
	}
	return present
}

func objects(items []value) error {
	for _, v := range items {
		if v[0] != '{' {
			return errors.New(`an item of the list is not an object; as: "." takes its place`)
		}
	}
	return nil
}

// groups divides the items by the calls they need, equal ones together.
func (r *run) groups(p *part, items []value, res *result) ([]*group, error) {
	if p.Batch != nil {
		return r.batches(p, items, res)
	}
	var groups []*group
	known := map[target]*group{}
	for n, item := range items {
		s := scope{run: r, part: p, item: item, n: n}
		if state := s.siblings(); state != present {
			res.items[n].state = state
			continue
		}
		t, err := p.get.target("", s.get)
		if err != nil {
			res.items[n].state = r.settle(p, err)
			continue
		}
		if known[t] == nil {
			known[t] = &group{target: t}
			groups = append(groups, known[t])
		}
		known[t].items = append(known[t].items, n)
	}
	return groups, nil
}

// siblings tells what becomes of an item because of other parts at the same item.
func (s scope) siblings() state {
	state := present
	for _, r := range s.part.get.refs {
		if r.sibling && !r.optional {
			state = min(state, s.run.results[r.part.index].item(s.n).state)
		}
	}
	return state
}

// batches divides the values of the items, each once, into calls.
func (r *run) batches(p *part, items []value, res *result) ([]*group, error) {
	var texts []string
	wants := map[string][]int{}
	for n, item := range items {
		s := scope{run: r, part: p, item: item, n: n}
		if state := s.siblings(); state != present {
			res.items[n].state = state
			continue
		}
		text, err := s.batched()
		if err != nil {
			res.items[n].state = r.settle(p, err)
			continue
		}
		if wants[text] == nil {
			texts = append(texts, text)
		}
		wants[text] = append(wants[text], n)
	}
	var groups []*group
	for len(texts) > 0 {
		some := texts[:min(p.Batch.Max, len(texts))]
		texts = texts[len(some):]
		t, err := p.get.target(p.Batch.Separator, scope{run: r, part: p}.several(some))
		if err != nil {
			return nil, err
		}
		groups = append(groups, &group{target: t, texts: some, wants: wants})
	}
	return groups, nil
}

// batched is the value of an item. One that holds the separator would be two.
func (s scope) batched() (string, error) {
	values, err := s.get(s.part.each)
	if err != nil {
		return "", err
	}
	if s.part.splits(values[0]) {
		return "", fmt.Errorf("a value of %s holds the separator", s.part.each.text)
	}
	return values[0], nil
}

// several puts the values of a batch where that of an item would be.
func (s scope) several(values []string) func(*ref) ([]string, error) {
	return func(r *ref) ([]string, error) {
		if r == s.part.each {
			return values, nil
		}
		return s.get(r)
	}
}

// group makes one call, and gives each item its answer. Groups share no items.
func (r *run) group(ctx context.Context, p *part, g *group, items []answer) {
	v, err := r.call(ctx, p, g.target)
	if g.wants != nil {
		r.deal(p, g, v, err, items)
		return
	}
	a := answer{present, v}
	if err != nil {
		a = answer{state: r.settle(p, err)}
	}
	for _, n := range g.items {
		items[n] = a
	}
}

// deal gives the elements of a batch's answer to the items.
func (r *run) deal(p *part, g *group, v value, err error, items []answer) {
	var found map[string]value
	if err == nil {
		found, err = p.keyed(v)
	}
	failed := answer{}
	if err != nil {
		failed.state = r.settle(p, err)
	}
	for _, text := range g.texts {
		a := failed
		if err == nil {
			a = r.dealt(p, found[text])
		}
		for _, n := range g.wants[text] {
			items[n] = a
		}
	}
}

// dealt is the answer for a value.
func (r *run) dealt(p *part, v value) answer {
	switch {
	case v != nil:
		return answer{present, v}
	case p.Empty:
		return answer{state: empty}
	}
	return answer{state: r.settle(p, errors.New("the batch's answer lacks something that was asked for"))}
}

// keyed are the elements of a batch's answer by what they were asked for.
func (p *part) keyed(v value) (map[string]value, error) {
	list := v.at(p.batchList)
	if list[0] != '[' && !list.null() {
		return nil, errors.New("the batch's answer is not a list")
	}
	found := map[string]value{}
	for e := range list.elements() {
		key, _ := e.at(p.batchKey).text()
		if key == "" {
			return nil, errors.New("an element of the batch's answer has no key")
		}
		if found[key] != nil {
			return nil, errors.New("the batch's answer has two elements with the same key")
		}
		found[key] = e
	}
	return found, nil
}

// splits reports whether a service would read a value of a batch as several.
func (p *part) splits(text string) bool {
	return p.Batch.Separator != "&" && strings.Contains(text, p.Batch.Separator)
}
