package banyan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The names of CloudEvents attributes that this mapping gives a meaning to.
const (
	ceSpecVersion = "specversion"
	ceID          = "id"
	ceSource      = "source"
	ceType        = "type"
	ceSubject     = "subject"
	ceTime        = "time"
	ceContentType = "datacontenttype"
	ceDataSchema  = "dataschema"
	ceData        = "data"
	ceBase64      = "data_base64"
	ceSchema      = "schemaversion"
	ceRevision    = "revision"
	cePosition    = "position"
	ceRecorded    = "recordedtime"
	ceCorrelation = "correlationid"
	ceCausation   = "causationid"
	ceActor       = "actor"
	ceTenant      = "tenant"
	ceTrace       = "traceparent"
	ceRest        = "banyanextra"
)

// ceNoSource stands for an empty Source: CloudEvents demands one.
const ceNoSource = "banyan:store"

// ceRestOf holds what has no legal attribute of its own; as JSON text it is the
// attribute ceRest.
type ceRestOf struct {
	Source      string            `json:"source,omitempty"`
	ContentType string            `json:"contenttype,omitempty"`
	Extra       map[string]string `json:"extra,omitempty"`
}

// CloudEvent returns the event in the JSON format of CloudEvents 1.0 (structured
// mode). Stream becomes subject; Schema, Revision, Position, Recorded and the
// metadata become the extensions schemaversion, revision, position,
// recordedtime, correlationid, causationid, actor, tenant and traceparent. Extra
// pairs keep their name where it is a legal one; the others, a Source that is
// not a URI reference, and a ContentType that is not a media type are together in
// banyanextra, as JSON text. Data of type application/json is the value of data,
// text is a string there, everything else, and JSON that could not be given back
// byte for byte, is data_base64.
//
// Nothing is lost: ParseCloudEvent returns an equal event, with times in UTC.
// What no store takes is refused with ErrInvalid: no ID or Type, text that is
// not UTF-8, years beyond 9999.
func (e Event) CloudEvent() ([]byte, error) {
	if err := e.checkCloudEvent(); err != nil {
		return nil, fmt.Errorf("banyan: cloud event of %s: %w", e.ID, err)
	}
	contentType, kind := e.ContentType, contentKind(e.ContentType)
	w := ceWriter{out: []byte(`{"` + ceSpecVersion + `":"1.0"`)}
	rest := ceRestOf{}
	source := e.Source
	switch {
	case source == "":
		source = ceNoSource
	case source == ceNoSource || !isURI(source, false):
		source, rest.Source = ceNoSource, source
	}
	if kind == kindNone {
		contentType, rest.ContentType = "application/octet-stream", contentType
	}
	w.text(ceID, e.ID)
	w.text(ceSource, source)
	w.text(ceType, e.Type)
	w.text(ceSubject, e.Stream)
	w.time(ceTime, e.Time)
	w.text(ceContentType, contentType)
	w.number(ceSchema, int64(e.Schema))
	// As text: a CloudEvents integer has 32 bits.
	w.digits(ceRevision, int64(e.Revision))
	w.digits(cePosition, int64(e.Position))
	w.time(ceRecorded, e.Recorded)
	w.text(ceCorrelation, e.Meta.Correlation)
	w.text(ceCausation, e.Meta.Causation)
	w.text(ceActor, e.Meta.Actor)
	w.text(ceTenant, e.Meta.Tenant)
	w.text(ceTrace, e.Meta.TraceParent)
	w.extra(e.Meta.Extra, &rest)
	w.rest(rest)
	w.data(kind, e.Data)
	return append(w.out, '}'), nil
}

func (e Event) checkCloudEvent() error {
	if e.ID == "" || e.Type == "" {
		return fmt.Errorf("%w: it needs an id and a type", ErrInvalid)
	}
	m := e.Meta
	texts := []string{e.ID, e.Type, e.Stream, e.Source, e.ContentType, m.Correlation, m.Causation, m.Actor, m.Tenant, m.TraceParent}
	for k, v := range m.Extra {
		texts = append(texts, k, v)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: %q is not valid UTF-8", ErrInvalid, s)
		}
	}
	for _, t := range []time.Time{e.Time, e.Recorded} {
		if y := t.UTC().Year(); y < 1 || y > 9999 {
			return fmt.Errorf("%w: time %v is outside the years 1 to 9999", ErrInvalid, t)
		}
	}
	return nil
}

// ceWriter appends attributes to a JSON object. Empty values are left out.
type ceWriter struct{ out []byte }

func (w *ceWriter) raw(name string, value []byte) {
	w.out = append(w.out, `,"`...)
	w.out = append(w.out, name...)
	w.out = append(w.out, `":`...)
	w.out = append(w.out, value...)
}

func (w *ceWriter) text(name, value string) {
	if value != "" {
		quoted, _ := json.Marshal(value) // a string always encodes
		w.raw(name, quoted)
	}
}

func (w *ceWriter) time(name string, t time.Time) {
	if !t.IsZero() {
		w.text(name, t.UTC().Format(time.RFC3339Nano))
	}
}

func (w *ceWriter) number(name string, n int64) {
	if n < math.MinInt32 || n > math.MaxInt32 {
		w.digits(name, n)
	} else if n != 0 {
		w.raw(name, strconv.AppendInt(nil, n, 10))
	}
}

func (w *ceWriter) digits(name string, n int64) {
	if n != 0 {
		w.text(name, strconv.FormatInt(n, 10))
	}
}

// extra writes the user's pairs, those without a legal name into rest.
func (w *ceWriter) extra(pairs map[string]string, rest *ceRestOf) {
	keys := make([]string, 0, len(pairs))
	for k := range pairs {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		value := pairs[k]
		name, escaped := strings.CutPrefix(k, ceEscape)
		switch {
		case escaped && isMetadataName(name) && value != "":
			w.text(name, value)
		case isExtensionName(k) && value != "" || k == ceDataSchema && isURI(value, true):
			w.text(k, value)
		default:
			if rest.Extra == nil {
				rest.Extra = map[string]string{}
			}
			rest.Extra[k] = value
		}
	}
}

func (w *ceWriter) rest(rest ceRestOf) {
	if rest.Source == "" && rest.ContentType == "" && rest.Extra == nil {
		return
	}
	text, _ := json.Marshal(rest) // strings always encode
	w.text(ceRest, string(text))
}

func (w *ceWriter) data(kind mediaKind, data []byte) {
	switch {
	case len(data) == 0:
	case kind == kindJSON && keepsBytes(data):
		w.raw(ceData, data)
	case kind == kindText && utf8.Valid(data):
		w.text(ceData, string(data))
	default:
		encoded, _ := json.Marshal(data) // bytes encode as base64
		w.raw(ceBase64, encoded)
	}
}

// keepsBytes reports whether data comes back unchanged as a part of a larger JSON
// text: white space around it would not, and null would be read as no data.
func keepsBytes(data []byte) bool {
	return utf8.Valid(data) && json.Valid(data) && len(bytes.TrimSpace(data)) == len(data) && string(data) != "null"
}

// mediaKind says how CloudEvents carries data of a content type.
type mediaKind int

const (
	kindNone   mediaKind = iota // not a media type at all
	kindBinary                  // base64
	kindText                    // a JSON string
	kindJSON                    // a JSON value
	// kindOtherJSON is a JSON value too, but the official SDK for Go reads only
	// base64 there; so does everybody, and base64 is what is written.
	kindOtherJSON
)

func contentKind(contentType string) mediaKind {
	if contentType == "" {
		return kindJSON
	}
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return kindNone
	case media == JSON || media == "text/json":
		return kindJSON
	case strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json"):
		return kindOtherJSON
	case strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "/xml") || strings.HasSuffix(media, "+xml"):
		return kindText
	}
	return kindBinary
}

// isExtensionName reports whether an Extra pair may have an attribute of this
// name: legal in CloudEvents, and without a meaning of its own here.
func isExtensionName(s string) bool {
	switch s {
	case ceSpecVersion, ceID, ceSource, ceType, ceSubject, ceTime, ceContentType, ceDataSchema, ceData,
		ceSchema, ceRevision, cePosition, ceRecorded, ceCorrelation, ceCausation, ceActor, ceTenant, ceTrace, ceRest:
		return false
	}
	for i := range len(s) {
		if (s[i] < 'a' || s[i] > 'z') && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 20 && !isMetadataName(s)
}

// ceEscape leads the key of an extension of somebody else's whose name a store
// keeps for itself, so that such events can be stored and passed on.
const ceEscape = "ce-"

func isMetadataName(s string) bool {
	return s == "correlation" || s == "causation" || s == "contenttype"
}

// isURI reports whether s is a URI (absolute) or a URI reference that every
// reader gives back as it is.
func isURI(s string, absolute bool) bool {
	u, err := url.Parse(s)
	return err == nil && s != "" && u.String() == s && (u.IsAbs() || !absolute)
}

// ParseCloudEvent reads an event in the JSON format of CloudEvents 1.0; the
// inverse of CloudEvent. Extensions that it does not know go to Meta.Extra, as
// text whatever their type, and so does dataschema; "correlation", "causation"
// and "contenttype" get "ce-" before their name there, because a store keeps
// those for itself. Anything that is not a CloudEvent is of kind ErrInvalid.
func ParseCloudEvent(data []byte) (Event, error) {
	e, err := parseCloudEvent(data)
	if err != nil {
		return Event{}, fmt.Errorf("banyan: parse cloud event: %w: %w", ErrInvalid, err)
	}
	return e, nil
}

func parseCloudEvent(data []byte) (Event, error) {
	var members map[string]json.RawMessage
	switch err := json.Unmarshal(data, &members); {
	case err != nil:
		return Event{}, err
	case !utf8.Valid(data):
		return Event{}, fmt.Errorf("it is not valid UTF-8")
	}
	r := ceReader{}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names) // so that the same mistake gives the same error
	for _, name := range names {
		if name == ceData || name == ceBase64 || string(members[name]) == "null" {
			continue
		}
		if err := r.member(name, members[name]); err != nil {
			return Event{}, fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	if r.version != "1.0" {
		return Event{}, fmt.Errorf("attribute %s is %q, not 1.0", ceSpecVersion, r.version)
	}
	if r.event.ID == "" || r.event.Type == "" || r.source == "" {
		return Event{}, fmt.Errorf("it needs the attributes %s, %s and %s", ceID, ceSource, ceType)
	}
	if r.source != ceNoSource {
		r.event.Source = r.source
	}
	if err := r.data(members[ceData], members[ceBase64]); err != nil {
		return Event{}, err
	}
	r.takeRest()
	return r.event, nil
}

type ceReader struct {
	event   Event
	version string
	source  string
	rest    string
}

// member reads one attribute.
func (r *ceReader) member(name string, raw json.RawMessage) error {
	value, err := attributeText(raw)
	if err != nil {
		return err
	}
	if name == ceTime {
		r.event.Time, err = time.Parse(time.RFC3339Nano, value)
		r.event.Time = r.event.Time.UTC()
		return err
	}
	if field := r.field(name); field != nil {
		*field = value
		return nil
	}
	if r.special(name, value) {
		return nil
	}
	if isMetadataName(name) {
		name = ceEscape + name
	}
	r.setExtra(name, value)
	return nil
}

// attributeText returns the text of a CloudEvents value: a string, a number or a
// boolean.
func attributeText(raw json.RawMessage) (string, error) {
	if raw[0] == '{' || raw[0] == '[' {
		return "", fmt.Errorf("its value is an object or an array; attributes are strings, numbers and booleans")
	}
	if raw[0] != '"' {
		return string(raw), nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// field returns where an attribute of plain text belongs, or nil.
func (r *ceReader) field(name string) *string {
	switch name {
	case ceSpecVersion:
		return &r.version
	case ceID:
		return &r.event.ID
	case ceSource:
		return &r.source
	case ceType:
		return &r.event.Type
	case ceSubject:
		return &r.event.Stream
	case ceContentType:
		return &r.event.ContentType
	case ceCorrelation:
		return &r.event.Meta.Correlation
	case ceCausation:
		return &r.event.Meta.Causation
	case ceActor:
		return &r.event.Meta.Actor
	case ceTenant:
		return &r.event.Meta.Tenant
	case ceTrace:
		return &r.event.Meta.TraceParent
	case ceRest:
		return &r.rest
	}
	return nil
}

// special reads the extensions that are not text, and reports whether it could:
// somebody else's extension of the same name may hold something else, which is
// kept as it is.
func (r *ceReader) special(name, value string) bool {
	if name == ceRecorded {
		t, err := time.Parse(time.RFC3339Nano, value)
		if err == nil {
			r.event.Recorded = t.UTC()
		}
		return err == nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n == 0 || strconv.FormatInt(n, 10) != value {
		return false
	}
	switch name {
	case ceSchema:
		r.event.Schema = int(n)
	case ceRevision:
		r.event.Revision = Revision(n)
	case cePosition:
		r.event.Position = Position(n)
	default:
		return false
	}
	return true
}

func (r *ceReader) setExtra(name, value string) {
	if r.event.Meta.Extra == nil {
		r.event.Meta.Extra = map[string]string{}
	}
	r.event.Meta.Extra[name] = value
}

// takeRest unpacks ceRest. Text that is not ours stays an extra pair.
func (r *ceReader) takeRest() {
	if r.rest == "" {
		return
	}
	var rest ceRestOf
	d := json.NewDecoder(strings.NewReader(r.rest))
	d.DisallowUnknownFields()
	if err := d.Decode(&rest); err != nil || d.More() {
		r.setExtra(ceRest, r.rest)
		return
	}
	if rest.Source != "" && r.source == ceNoSource {
		r.event.Source = rest.Source
	}
	if rest.ContentType != "" {
		r.event.ContentType = rest.ContentType
	}
	for k, v := range rest.Extra {
		r.setExtra(k, v)
	}
}

func (r *ceReader) data(plain, encoded json.RawMessage) error {
	has := func(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }
	switch {
	case has(plain) && has(encoded):
		return fmt.Errorf("it has both %s and %s", ceData, ceBase64)
	case has(encoded):
		if err := json.Unmarshal(encoded, &r.event.Data); err != nil {
			return fmt.Errorf("%s: %w", ceBase64, err)
		}
	case has(plain) && plain[0] == '"' && contentKind(r.event.ContentType) < kindJSON:
		var s string
		if err := json.Unmarshal(plain, &s); err != nil {
			return fmt.Errorf("%s: %w", ceData, err)
		}
		r.event.Data = []byte(s)
	case has(plain):
		r.event.Data = plain
	}
	return nil
}
