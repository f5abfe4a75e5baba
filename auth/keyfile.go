package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/banyanhq/banyan"
)

// maxKeyFile bounds a file of keys: 100,000 keys take about 20 MiB.
const maxKeyFile = 64 << 20

// KeyFile is a KeySource: a JSON file {"keys": [{"id": …, "sha256": …,
// "subject": …}]} with the fields of Key. A field that is not known is an error,
// so that "disable" for "disabled" does not leave a key alive. Replace the file by
// renaming a new one over it; one that is half written is refused.
type KeyFile string

// Keys implements KeySource.
func (f KeyFile) Keys(context.Context) ([]Key, error) {
	file, err := os.Open(string(f))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	keys, err := parseKeyFile(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", string(f), banyan.ErrInvalid, err)
	}
	return keys, nil
}

// parseKeyFile does not pass on the decoder's error: it quotes the file.
func parseKeyFile(data []byte) ([]Key, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("larger than %d bytes", maxKeyFile)
	}
	var doc struct {
		Keys *[]Key `json:"keys"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("line %d: not a list of keys, or a field that is not known", 1+bytes.Count(data[:min(int(dec.InputOffset()), len(data))], []byte("\n")))
	}
	if doc.Keys == nil {
		return nil, errors.New("keys is missing")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the list")
	}
	return *doc.Keys, nil
}

// Interface guard.
var _ KeySource = KeyFile("")
