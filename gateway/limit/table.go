package limit

// ident is the seeded hash of a bucket's name and key. Of n buckets two have the
// same with a probability of n² ÷ 2^129.
type ident struct{ hi, lo uint64 }

func (a ident) with(b ident) ident { return ident{a.hi ^ b.hi, a.lo ^ b.lo} }

// entry is a bucket. It has no pointers, so the collector does not look at them.
type entry struct {
	id  ident
	tat int64
	// due is the tat that the heap knows. A tat grows with each request and due
	// stays behind until it is asked for, so that known buckets cost nothing here.
	due int64
}

// table finds buckets by ident: open addressing with linear probing over entries
// that do not move. A heap knows which of them will be full first.
type table struct {
	slots   []uint32 // index + 1 of an entry; 0: free. A power of two, at most 3/4 used
	entries []entry
	heap    []uint32 // indices of the entries in use
	free    []uint32 // indices of the others
	most    int      // entries
}

// find returns the index of a bucket, or -1.
func (t *table) find(id ident) int {
	if len(t.slots) == 0 {
		return -1
	}
	mask := uint64(len(t.slots) - 1)
	for s := id.lo & mask; t.slots[s] != 0; s = (s + 1) & mask {
		if i := int(t.slots[s] - 1); t.entries[i].id == id {
			return i
		}
	}
	return -1
}

// set stores a tat and reports whether another bucket that was not full had to
// go for it.
func (t *table) set(id ident, tat, now int64) (evicted bool) {
	if i := t.find(id); i >= 0 {
		t.entries[i].tat = tat
		return false
	}
	// At most two for each new one: full ones vanish faster than others come.
	for range 2 {
		if len(t.heap) > 0 && t.entries[t.soonest()].tat <= now {
			t.drop()
		}
	}
	if len(t.heap) >= t.most {
		t.soonest()
		t.drop()
		evicted = true
	}
	t.insert(entry{id: id, tat: tat, due: tat})
	return evicted
}

func (t *table) insert(e entry) {
	if (len(t.heap)+1)*4 > len(t.slots)*3 {
		t.grow()
	}
	i := len(t.entries)
	if n := len(t.free); n > 0 {
		i, t.free = int(t.free[n-1]), t.free[:n-1]
		t.entries[i] = e
	} else {
		t.entries = append(more(t.entries, t.most), e)
	}
	t.place(i)
	t.heap = append(more(t.heap, t.most), uint32(i))
	t.up(len(t.heap) - 1)
}

// more makes room for one more element where append would take more than most.
func more[T any](s []T, most int) []T {
	if len(s) < cap(s) {
		return s
	}
	bigger := make([]T, len(s), min(max(2*len(s), 8), most))
	copy(bigger, s)
	return bigger
}

// place enters an entry into the slots.
func (t *table) place(i int) {
	mask := uint64(len(t.slots) - 1)
	s := t.entries[i].id.lo & mask
	for t.slots[s] != 0 {
		s = (s + 1) & mask
	}
	t.slots[s] = uint32(i + 1)
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]uint32, max(2*len(old), 16))
	for _, s := range old {
		if s != 0 {
			t.place(int(s - 1))
		}
	}
}

// drop forgets the bucket at the top of the heap.
func (t *table) drop() {
	i := t.heap[0]
	last := len(t.heap) - 1
	t.heap[0], t.heap = t.heap[last], t.heap[:last]
	t.down(0)
	mask := uint64(len(t.slots) - 1)
	s := t.entries[i].id.lo & mask
	for t.slots[s] != i+1 {
		s = (s + 1) & mask
	}
	t.slots[s] = 0
	// Those behind it move up, unless they would come before their first choice.
	for n := (s + 1) & mask; t.slots[n] != 0; n = (n + 1) & mask {
		home := t.entries[t.slots[n]-1].id.lo & mask
		if (n-home)&mask >= (n-s)&mask {
			t.slots[s], t.slots[n] = t.slots[n], 0
			s = n
		}
	}
	t.free = append(more(t.free, t.most), i)
}

// soonest returns the bucket that will be full first. Its due is corrected before
// it counts, so the answer is exact, but for a tat that was cut for a smaller rule:
// until its old due that bucket may stay while another goes. There must be one.
func (t *table) soonest() int {
	for {
		e := &t.entries[t.heap[0]]
		if e.due == e.tat {
			return int(t.heap[0])
		}
		e.due = e.tat
		t.down(0)
	}
}

// The heap has four children per node, and orders by due.
func (t *table) up(at int) {
	for at > 0 {
		parent := (at - 1) / 4
		if t.entries[t.heap[parent]].due <= t.entries[t.heap[at]].due {
			return
		}
		t.heap[parent], t.heap[at] = t.heap[at], t.heap[parent]
		at = parent
	}
}

func (t *table) down(at int) {
	for {
		least := at
		for child := 4*at + 1; child <= 4*at+4 && child < len(t.heap); child++ {
			if t.entries[t.heap[child]].due < t.entries[t.heap[least]].due {
				least = child
			}
		}
		if least == at {
			return
		}
		t.heap[least], t.heap[at] = t.heap[at], t.heap[least]
		at = least
	}
}
