package compose

import (
	"fmt"
	"net/http"
)

// scope is where a template's values are looked up.
type scope struct {
	run  *run
	part *part
	item value // of for_each
	n    int   // the item's number
}

// get returns the value of a template, or its default; nil if it is left out.
func (s scope) get(ref *ref) ([]string, error) {
	text, err := s.text(ref)
	switch {
	case err != nil:
		return nil, err
	case text != "":
		return []string{text}, nil
	case ref.optional && ref.fallback != "":
		return []string{ref.fallback}, nil
	case ref.optional:
		return nil, nil
	}
	return nil, s.absent(ref)
}

// absent is the error for a value that is not there, or is empty.
func (s scope) absent(ref *ref) error {
	if ref.given() {
		return &failure{status: http.StatusBadRequest, detail: "the request has no value for " + ref.text}
	}
	if s.part.Empty {
		return errEmpty
	}
	return fmt.Errorf("%s is absent, null or empty", ref.text)
}

// text looks a value up; "" if there is none.
func (s scope) text(ref *ref) (string, error) {
	var v value
	switch ref.from {
	case fromPath:
		return s.run.in.PathValue(ref.name), nil
	case fromQuery:
		if s.run.queryErr != nil {
			return "", &failure{status: http.StatusBadRequest, detail: "the query cannot be read"}
		}
		return single(ref, s.run.query[ref.name])
	case fromHeader:
		return single(ref, s.run.in.Header.Values(ref.name))
	case fromItem:
		v = s.item
	case fromPart:
		a := s.run.results[ref.part.index].answer
		if ref.sibling {
			a = s.run.results[ref.part.index].item(s.n)
		}
		if a.state != present {
			return "", nil
		}
		v = a.body
	}
	text, scalar := v.at(ref.fields).text()
	if !scalar {
		return "", fmt.Errorf("%s is an object or a list", ref.text)
	}
	return text, nil
}

// single refuses values that are given twice: two services could take different
// ones.
func single(ref *ref, values []string) (string, error) {
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", &failure{status: http.StatusBadRequest, detail: "the request has more than one value for " + ref.text}
}

// item is what a part has for an item.
func (r result) item(n int) answer {
	if n < len(r.items) {
		return r.items[n]
	}
	return answer{state: r.state}
}
