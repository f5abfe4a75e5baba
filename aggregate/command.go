package aggregate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/banyanhq/banyan"
)

// Command is what surrounds a decision.
type Command struct {
	// ID makes the command happen once on a stream. The sender chooses it and
	// uses it for nothing else: a repetition is known by its id alone, so a
	// different command under a used id gets the first one's answer. Empty: the
	// command happens each time it is sent. At most 500 bytes.
	ID string
	// Time is when it happened; zero: now.
	Time time.Time
	// Meta goes into the events; fields that it leaves empty come from the
	// context (banyan.WithMetadata), and a Causation that neither has is ID.
	Meta banyan.Metadata
}

const maxCommandID = 500

func (c Command) check() error {
	switch {
	case len(c.ID) > maxCommandID:
		return fmt.Errorf("%w: the command id has %d bytes, more than %d", banyan.ErrInvalid, len(c.ID), maxCommandID)
	case !utf8.ValidString(c.ID):
		return fmt.Errorf("%w: the command id is not valid UTF-8", banyan.ErrInvalid)
	}
	for i := range len(c.ID) {
		if c.ID[i] < 0x20 || c.ID[i] == 0x7f {
			return fmt.Errorf("%w: the command id %q has a control character", banyan.ErrInvalid, c.ID)
		}
	}
	return nil
}

// derived makes the event ids of one command on one stream: prefix + "1", "2"
// and so on. The empty prefix is that of a command without id.
//
// No two pairs of stream and command id share an event id. The plain form is
// stream/command/n; stream names with a "/" would make it ambiguous and get the
// hashed form, whose first part has no "-" and so is no aggregate's stream. The
// forms are part of the stored format: a change makes old commands unknown.
type derived struct{ prefix string }

const (
	maxEventID = 200
	maxDigits  = 7 // of n; a store's appends are far smaller
)

func derive(stream, command string) derived {
	if command == "" {
		return derived{}
	}
	plain := stream + "/" + command + "/"
	if len(plain)+maxDigits <= maxEventID && !strings.Contains(stream, "/") {
		return derived{plain}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(stream), stream, command))
	return derived{"cmd:" + hex.EncodeToString(sum[:]) + "/"}
}

// id returns the id of the n-th event, from 1.
func (d derived) id(n int) string {
	if d.prefix == "" {
		return banyan.NewID()
	}
	return d.prefix + strconv.Itoa(n)
}

// has reports whether an event is one of this command's.
func (d derived) has(eventID string) bool {
	if d.prefix == "" {
		return false
	}
	n, ok := strings.CutPrefix(eventID, d.prefix)
	if !ok || n == "" || len(n) > maxDigits {
		return false
	}
	for i := range len(n) { // else "c/1" would own the events of "c/1/1"
		if n[i] < '0' || n[i] > '9' {
			return false
		}
	}
	return true
}
