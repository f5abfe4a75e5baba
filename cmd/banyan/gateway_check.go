package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/cmd/banyan/internal/edge"
	"github.com/banyanhq/banyan/gateway"
)

func newCheckCommand(e *env) *cobra.Command {
	var file string
	var asJSON, schema bool
	c := &cobra.Command{
		Use: "check [FILE]", Short: "Check a gateway's configuration",
		Long: "Read a configuration file (default " + defaultConfig + ") and say everything that is wrong with\n" +
			"it, each with its line. Files that it includes and OpenAPI documents are read too;\n" +
			"certificates, keys and tokens are not. Nothing is started, and no network is used.\n" +
			"What is right and probably not meant is a warning, which is no mistake.",
		Example: "  banyan check banyan.yaml",
		Args:    wantArgs(1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if schema {
				_, err := e.stdout.Write(gateway.Schema())
				return err
			}
			return check(e, configNamed(file, args), asJSON)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", defaultConfig, "the same as an argument, as banyan run has it: configuration `FILE`")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of such files, for editors, and do nothing else")
	return c
}

// configNamed is the file that an argument names, or else the flag.
func configNamed(flag string, args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return flag
}

// noFile says what to do where there is no file of the name that is looked for
// without another one.
func noFile(file string, err error) error {
	if file == defaultConfig && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; name another file, or begin with the one at the top of docs/gateway.md", err)
	}
	return err
}

// checked is the JSON of a checked file.
type checked struct {
	File     string          `json:"file"`
	OK       bool            `json:"ok"`
	Mistakes []gateway.Place `json:"mistakes"`
	Warnings []gateway.Place `json:"warnings"`
}

// errMistakes: the file is wrong, and what is wrong is printed.
var errMistakes = errors.New("the configuration has mistakes")

func check(e *env, file string, asJSON bool) error {
	config, err := load(file)
	var wrong *gateway.FileError
	if err != nil && !errors.As(err, &wrong) {
		return noFile(file, err)
	}
	if asJSON {
		out := checked{File: file, OK: err == nil, Mistakes: []gateway.Place{}, Warnings: []gateway.Place{}}
		if wrong != nil {
			out.Mistakes = wrong.Places
		} else {
			out.Warnings = append(out.Warnings, config.WarningPlaces()...)
		}
		if err := json.NewEncoder(e.stdout).Encode(out); err != nil {
			return err
		}
		if wrong != nil {
			return errMistakes
		}
		return nil
	}
	if err != nil {
		return err
	}
	places := config.WarningPlaces()
	warnings := ""
	if len(places) > 0 {
		warnings = ", " + count(len(places), "warning")
	}
	if _, err = fmt.Fprintf(e.stdout, "%s: %s, %s, nothing wrong%s\n", file, count(len(config.Routes), "route"), count(len(config.Upstreams), "upstream"), warnings); err != nil || len(places) == 0 {
		return err
	}
	for i := range places {
		places[i].Text = "warning: " + places[i].Text
	}
	_, err = fmt.Fprintln(e.stdout, &gateway.FileError{File: file, Places: places})
	return err
}

// count says how many things there are.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// load is gateway.Load, with what only the binary knows to be wrong.
func load(file string) (*gateway.Config, error) {
	config, err := gateway.Load(file)
	if err != nil || config.TLS.ACME == nil {
		return config, err
	}
	a := edge.ACME(config.TLS.ACME)
	wrong := &gateway.FileError{File: file}
	for _, m := range a.Check() {
		wrong.Places = append(wrong.Places, gateway.Place{Text: "tls.acme." + m.Path + ": " + m.Text})
	}
	if len(wrong.Places) > 0 {
		return nil, wrong
	}
	return config, nil
}
