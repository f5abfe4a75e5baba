package api

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
)

var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$`)

// Key turns any text into one that may be part of a stream's name and of an event
// id: usual numbers stay as they are, others are replaced by their hash. Different
// texts have different keys.
func Key(text string) string {
	switch {
	case text == "":
		return "_empty"
	case plain.MatchString(text):
		return text
	default:
		sum := sha256.Sum256([]byte(text))
		return "_" + hex.EncodeToString(sum[:])
	}
}
