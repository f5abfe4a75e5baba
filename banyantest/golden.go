package banyantest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/banyanhq/banyan"
)

// UpdateGolden is the environment variable that, set to 1, makes Golden write
// the files that are missing.
const UpdateGolden = "BANYAN_UPDATE_GOLDEN"

// Golden checks that every version of every event that was ever stored can be
// read, and that the current ones are still written as they were. Folder dir
// has one file <type>.v<schema>.json for each version, which stays for ever:
//
//   - each declared type has a file of its current version;
//   - each file decodes, through the upcasters, to declared types of today;
//   - each file of a current version is encoded again to the same JSON, white
//     space aside. If it is not, the shape of the event was changed without a new
//     schema version.
//
// With BANYAN_UPDATE_GOLDEN=1 files that are missing are written from samples,
// one value for each type; files that exist are never changed. Fill every field
// of a sample: a field that is empty there is not guarded.
func Golden(t T, types *banyan.Types, dir string, samples ...any) {
	t.Helper()
	if err := types.Err(); err != nil {
		t.Errorf("%v", err)
		return
	}
	g := golden{t: t, types: types, dir: dir}
	if os.Getenv(UpdateGolden) == "1" {
		g.update(samples)
	}
	g.check()
}

type golden struct {
	t     T
	types *banyan.Types
	dir   string
}

func (g *golden) path(name string, schema int) string {
	return filepath.Join(g.dir, fmt.Sprintf("%s.v%d.json", name, schema))
}

func (g *golden) update(samples []any) {
	g.t.Helper()
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		g.t.Errorf("golden: %v", err)
		return
	}
	for _, sample := range samples {
		if err := g.write(sample); err != nil && !os.IsExist(err) {
			g.t.Errorf("golden: %v", err)
		}
	}
}

func (g *golden) write(sample any) error {
	e, err := g.types.Encode(sample)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := json.Indent(&text, e.Data, "", "  "); err != nil {
		return err
	}
	text.WriteByte('\n')
	f, err := os.OpenFile(g.path(e.Type, e.Schema), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(text.Bytes()); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func (g *golden) check() {
	g.t.Helper()
	for _, name := range g.types.Names() {
		path := g.path(name, g.types.Schema(name))
		if _, err := os.Stat(path); err != nil {
			g.t.Errorf("golden: %s v%d has no file %s: give Golden a sample of it and run the test with %s=1", name, g.types.Schema(name), path, UpdateGolden)
		}
	}
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		g.t.Errorf("golden: %v", err)
		return
	}
	for _, entry := range entries {
		if err := g.file(entry.Name()); err != nil {
			g.t.Errorf("golden: %s: %v", filepath.Join(g.dir, entry.Name()), err)
		}
	}
}

var goldenName = regexp.MustCompile(`^(.+)\.v([1-9][0-9]*)\.json$`)

func (g *golden) file(name string) error {
	parts := goldenName.FindStringSubmatch(name)
	if parts == nil {
		return fmt.Errorf("its name is not <type>.v<schema>.json")
	}
	schema, err := strconv.Atoi(parts[2])
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		return err
	}
	e := banyan.Event{Type: parts[1], Schema: schema, Data: data}
	values, err := g.types.Decode(e)
	if err != nil {
		return err
	}
	for _, v := range values {
		if raw, ok := v.(banyan.Raw); ok {
			return fmt.Errorf("it is a %s v%d, which is not declared: stored events still have it, so keep its type or an upcaster", raw.Type, raw.Schema)
		}
	}
	if schema == g.types.Schema(e.Type) {
		return g.same(e, values[0])
	}
	return nil
}

// same encodes a value again and compares.
func (g *golden) same(e banyan.Event, value any) error {
	again, err := g.types.Encode(value)
	if err != nil {
		return err
	}
	var before bytes.Buffer
	if err := json.Compact(&before, e.Data); err != nil {
		return err
	}
	if !bytes.Equal(before.Bytes(), again.Data) {
		return fmt.Errorf("%s is encoded differently now (- before, + now); raise its schema version and add an upcaster from %d, or, if version %d was never stored, delete the file and write it anew:\n%s",
			e.Type, e.Schema, e.Schema, diffLines(jsonLines(before.Bytes()), jsonLines(again.Data)))
	}
	return nil
}
