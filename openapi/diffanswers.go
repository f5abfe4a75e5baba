package openapi

import (
	"maps"
	"mime"
	"slices"
	"strings"
)

// contents compares what is said of each media type.
func (d *differ) contents(where string, dir direction, a, b map[string]any) {
	matched := map[string]bool{}
	for _, media := range slices.Sorted(maps.Keys(a)) {
		at := where + " " + media
		same, still := described(b, media, dir == request)
		if still {
			matched[same] = true
			d.schemas(at, dir, object(a, media)["schema"], object(b, same)["schema"])
		} else if !narrower(b, media) || dir == request {
			d.add(at, true, "is gone")
		}
	}
	for _, media := range slices.Sorted(maps.Keys(b)) {
		if matched[media] {
			continue
		}
		at := where + " " + media
		if general, had := described(a, media, true); had { // it was a part of that
			d.schemas(at, dir, object(a, general)["schema"], object(b, media)["schema"])
		} else {
			d.add(at, false, "is new")
		}
	}
}

// described returns the name under which a media type is described: its own, or
// that of a range where these count.
func described(content map[string]any, media string, ranges bool) (string, bool) {
	if _, ok := content[media]; ok {
		return media, true
	}
	kind := plainMedia(media)
	group, _, _ := strings.Cut(kind, "/")
	wanted := []string{kind, group + "/*", "*/*"}
	if !ranges {
		wanted = wanted[:1]
	}
	for _, want := range wanted {
		for _, name := range slices.Sorted(maps.Keys(content)) {
			if plainMedia(name) == want {
				return name, true
			}
		}
	}
	return "", false
}

// narrower reports whether a range is still there in part.
func narrower(content map[string]any, media string) bool {
	group, all := strings.CutSuffix(plainMedia(media), "*")
	if !all {
		return false
	}
	for name := range content {
		if group == "*/" || strings.HasPrefix(plainMedia(name), group) {
			return true
		}
	}
	return false
}

// plainMedia writes a media type so that those that mean the same are equal: case
// does not count, nor does the charset, which is UTF-8 for all that is checked.
func plainMedia(media string) string {
	kind, params, err := mime.ParseMediaType(media)
	if err != nil {
		return strings.ToLower(media)
	}
	delete(params, "charset")
	if plain := mime.FormatMediaType(kind, params); plain != "" {
		return plain
	}
	return kind
}

func (d *differ) answers(a, b *operation) {
	old, now := object(a.node, "responses"), object(b.node, "responses")
	for _, status := range slices.Sorted(maps.Keys(old)) {
		if extension(kindResponse, status) {
			continue
		}
		if still, ok := answerTo(now, status); ok {
			d.answer("answer "+status, d.part(d.before, old, kindResponse, status), d.part(d.after, now, kindResponse, still))
		} else {
			d.add("answer "+status, expected(status, old), "is gone")
		}
	}
	for _, status := range slices.Sorted(maps.Keys(now)) {
		if _, had := old[status]; had || extension(kindResponse, status) {
			continue
		}
		if general, ok := answerTo(old, status); ok { // it was a part of that
			d.answer("answer "+status, d.part(d.before, old, kindResponse, general), d.part(d.after, now, kindResponse, status))
		} else {
			d.add("answer "+status, false, "is new")
		}
	}
}

func (d *differ) answer(where string, had, has map[string]any) {
	d.headers(where, object(had, "headers"), object(has, "headers"))
	d.contents(where, response, object(had, "content"), object(has, "content"))
}

// answerTo returns the name under which a status is described: its own, that of
// its class, or default (OpenAPI 3.1 §4.8.16). Beside answers of success, default
// is for errors.
func answerTo(responses map[string]any, status string) (string, bool) {
	wanted := []string{status}
	if len(status) == 3 && status[1:] != "XX" {
		wanted = append(wanted, status[:1]+"XX")
	}
	if status >= "4" || !succeeds(responses) {
		wanted = append(wanted, "default")
	}
	for _, name := range wanted {
		if _, ok := responses[name]; ok {
			return name, true
		}
	}
	return "", false
}

// expected reports whether clients wait for an answer: one of success, or the
// only one there is.
func expected(status string, responses map[string]any) bool {
	return status < "4" || status == "default" && !succeeds(responses)
}

func succeeds(responses map[string]any) bool {
	for status := range responses {
		if strings.HasPrefix(status, "2") || strings.HasPrefix(status, "3") {
			return true
		}
	}
	return false
}
