package openapi

// combined evaluates the schemas that look at the same value.
func (e *evaluation) combined(n *node, v any) bool {
	ok := n.ref == nil || e.evaluate(n.ref, v)
	for _, one := range n.allOf {
		if e.hopeless(ok) {
			return false
		}
		ok = e.evaluate(one, v) && ok
	}
	if n.anyOf != nil && !e.hopeless(ok) {
		ok = e.any(n.anyOf, v) && ok
	}
	if n.oneOf != nil && !e.hopeless(ok) {
		ok = e.one(n.oneOf, v) && ok
	}
	if n.not != nil && !e.hopeless(ok) && e.fits(n.not, v) {
		ok = e.mistake("is of a kind that is not allowed")
	}
	if n.when != nil && !e.hopeless(ok) {
		next := n.otherway
		if e.fitsHere(n.when, v) {
			next = n.then
		}
		ok = (next == nil || e.evaluate(next, v)) && ok
	}
	return ok
}

func (e *evaluation) any(alternatives []*node, v any) bool {
	ok := false
	for _, a := range alternatives {
		if e.fitsHere(a, v) {
			ok = true
			if e.reached == nil {
				break // nobody asks what the others look at
			}
		}
	}
	return ok || e.none(alternatives, v)
}

func (e *evaluation) one(alternatives []*node, v any) bool {
	matches := 0
	for _, a := range alternatives {
		if e.fitsHere(a, v) {
			matches++
		}
	}
	switch matches {
	case 0:
		return e.none(alternatives, v)
	case 1:
		return true
	}
	return e.mistake("fits %d alternatives where it has to fit exactly one", matches)
}

// none says what is wrong with a value that fits no alternative: where only one
// of them is for its type, what that one says.
func (e *evaluation) none(alternatives []*node, v any) bool {
	if e.silent > 0 {
		return false
	}
	var near []*node
	for _, a := range alternatives {
		if a.accepts()&typeOf(v) != 0 {
			near = append(near, a)
		}
	}
	if len(near) != 1 {
		return e.mistake("fits none of %d alternatives", len(alternatives))
	}
	if !e.evaluate(near[0], v) {
		return false
	}
	return e.mistake("fits none of %d alternatives", len(alternatives)) // the budget ended between the two
}
