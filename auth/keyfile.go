package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// Update changes the list: change gets the keys that are there, none if there is no
// file yet, and returns those that shall be. Checkers read either list, never half
// of one. The file is for its owner only, unless it exists with other permissions.
// Two Updates at once: the second fails, with an error of kind banyan.ErrConflict.
func (f KeyFile) Update(ctx context.Context, change func(keys []Key) ([]Key, error)) (err error) {
	name, mode := string(f), fs.FileMode(0o600)
	draft, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("auth: change %s: %w: %s.new is there: another process changes the list, or was killed doing it and the file can be removed", name, banyan.ErrConflict, name)
	}
	if err != nil {
		return fmt.Errorf("auth: change %s: %w", name, err)
	}
	defer func() {
		if err = errors.Join(err, draft.Close()); err == nil {
			err = os.Rename(draft.Name(), name)
		}
		if err != nil {
			_ = os.Remove(draft.Name())
			err = fmt.Errorf("auth: change %s: %w", name, err)
		}
	}()
	var keys []Key
	if info, statErr := os.Stat(name); statErr == nil {
		if err := draft.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
		if keys, err = f.Keys(ctx); err != nil {
			return err
		}
	} else if !errors.Is(statErr, fs.ErrNotExist) {
		return statErr
	}
	if keys, err = change(keys); err != nil {
		return err
	}
	enc := json.NewEncoder(draft)
	enc.SetIndent("", "  ")
	if err := enc.Encode(keyDocument{&keys}); err != nil {
		return err
	}
	return draft.Sync()
}

type keyDocument struct {
	Keys *[]Key `json:"keys"`
}

// parseKeyFile does not pass on the decoder's error: it quotes the file.
func parseKeyFile(data []byte) ([]Key, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("larger than %d bytes", maxKeyFile)
	}
	var doc keyDocument
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
