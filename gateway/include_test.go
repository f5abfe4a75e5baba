package gateway_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/gatetest"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	return gatetest.Files(t, files)
}

// The routes of a team or channel are in a file of their own; what is wrong is
// said with the line of that file.
func TestInclude(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"banyan.yaml":       "upstreams: {app: http://127.0.0.1:3000}\nroutes: [{match: /, to: app}]\ninclude: [channels/*.yaml]\n",
		"channels/a.yaml":   "routes:\n- match: /mobile/\n  to: app\n",
		"channels/b.yaml":   "upstreams: {web: http://127.0.0.1:3001}\nroutes:\n- match: /web/\n  to: web\n",
		"wrong.yaml":        "upstreams: {app: http://127.0.0.1:3000}\nroutes: [{match: /, to: app}]\ninclude: [wrong/*.yaml, none.yaml]\n",
		"wrong/a.yaml":      "listen: :9\nroutes:\n- match: /a\n  to: ap\n",
		"wrong/b.yaml":      "upstreams:\n  app: http://127.0.0.1:3001\n  bad: ftp://x\n",
		"wrong/c.yaml":      "routes:\n- mach: /\n",
		"conflict.yaml":     "upstreams: {app: http://127.0.0.1:3000}\nroutes: [{match: /, to: app}]\ninclude: [conflict-b.yaml]\n",
		"conflict-b.yaml":   "routes:\n- match: /x\n  to: app\n- name: other\n  match: /\n  to: app\n",
		"banyan-empty.yaml": "",
	})
	c, err := gateway.Load(filepath.Join(dir, "banyan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Routes) != 3 || len(c.Upstreams) != 2 || len(c.Files()) != 3 {
		t.Errorf("%d routes, %d upstreams, files %v", len(c.Routes), len(c.Upstreams), c.Files())
	}
	said := func(name string) (lines []string) {
		_, err := gateway.Load(filepath.Join(dir, name))
		if err == nil {
			t.Fatal("no error")
		}
		for line := range strings.Lines(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")) {
			if strings.Contains(line, ".yaml:") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		return lines
	}
	if diff := cmp.Diff([]string{
		"wrong.yaml:3:11: wrong/a.yaml: an included file has upstreams, credentials and routes only",
		`wrong.yaml:3:11: wrong/c.yaml:2:3: unknown key "mach"; did you mean "match"?`,
		`wrong.yaml:3:25: no file matches "none.yaml"`,
		`wrong/a.yaml:4:7: there is no upstream "ap"; did you mean "app"?`,
		`wrong/b.yaml:2:8: "app" is there twice`,
		`wrong/b.yaml:3:8: "ftp://x" is not a server; want something like http://127.0.0.1:3000`,
	}, said("wrong.yaml")); diff != "" {
		t.Error(diff)
	}
	if got := said("conflict.yaml"); len(got) != 1 || !strings.HasPrefix(got[0], `conflict-b.yaml:5:10: match "/" is in conflict with "/" of route "/"`) {
		t.Errorf("%q", got)
	}
}
