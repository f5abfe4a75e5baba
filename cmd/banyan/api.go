package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/openapi"
)

func newAPICommand(e *env) *cobra.Command {
	return newGroup("api", "Compare and list APIs", newAPIDiffCommand(e), newAPIListCommand(e))
}

func newAPIDiffCommand(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "diff BEFORE AFTER", Short: "Say what changed between two OpenAPI documents",
		Long: "Compare two files, and say what changed for clients and what of it breaks them. The\n" +
			"exit code is 0 if nothing does, 1 if something does, and 2 if the files cannot be\n" +
			"compared.",
		Example: "  banyan api diff released/openapi.yaml openapi.yaml",
		Args:    wantArgs(0, "BEFORE", "AFTER"),
		RunE: func(_ *cobra.Command, args []string) error {
			return apiDiff(e, args[0], args[1], asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// compared is the JSON of two compared documents.
type compared struct {
	Before   string           `json:"before"`
	After    string           `json:"after"`
	Breaking int              `json:"breaking"`
	Changes  []openapi.Change `json:"changes"`
}

func apiDiff(e *env, before, after string, asJSON bool) error {
	var docs [2]*openapi.Document
	for i, file := range []string{before, after} {
		doc, err := openapi.Load(file)
		if err != nil {
			return &usageError{err} // 1 would say that something breaks clients
		}
		docs[i] = doc
	}
	out := compared{Before: docs[0].Version(), After: docs[1].Version(), Changes: []openapi.Change{}}
	for _, change := range openapi.Diff(docs[0], docs[1]) {
		out.Changes = append(out.Changes, change)
		if change.Breaking {
			out.Breaking++
		}
	}
	if err := printChanges(e, &out, asJSON); err != nil {
		return err
	}
	if out.Breaking > 0 {
		return fmt.Errorf("%d of %d changes break clients", out.Breaking, len(out.Changes))
	}
	return nil
}

func printChanges(e *env, out *compared, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(e.stdout).Encode(out)
	}
	if len(out.Changes) == 0 {
		_, err := fmt.Fprintln(e.stdout, "nothing changed for clients")
		return err
	}
	for _, change := range out.Changes {
		if _, err := fmt.Fprintln(e.stdout, printable(change.String())); err != nil {
			return err
		}
	}
	return nil
}

// apiList is what "banyan api list" is asked for.
type apiList struct {
	address, token             string
	json, unused, undocumented bool
}

func newAPIListCommand(e *env) *cobra.Command {
	var l apiList
	c := &cobra.Command{
		Use: "list", Short: "List the operations behind a running gateway",
		Long: "Ask a running gateway for the operations of its catalogue, with how often each was\n" +
			"called since it started, and for what was called although no document describes\n" +
			"it. The configuration of the gateway has to say \"catalogue\".",
		Example: "  banyan api list --unused\n  banyan api list --undocumented --json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if l.unused && l.undocumented {
				return usage("choose one of --unused and --undocumented")
			}
			return l.run(c.Context(), e)
		},
	}
	c.Flags().StringVar(&l.address, "admin", gateway.DefaultAdmin, "the gateway's admin `ADDRESS`")
	c.Flags().StringVar(&l.token, "token", "", "`FILE` with the token of the admin API, if it has one")
	c.Flags().BoolVar(&l.json, "json", false, "print one JSON object")
	c.Flags().BoolVar(&l.unused, "unused", false, "only operations that nobody called")
	c.Flags().BoolVar(&l.undocumented, "undocumented", false, "only what no document describes")
	return c
}

func (l *apiList) run(ctx context.Context, e *env) error {
	u, err := l.ask(ctx)
	if err != nil {
		return err
	}
	if l.unused {
		kept := []gateway.OperationUsage{}
		for _, op := range u.Operations {
			if op.Requests == 0 {
				kept = append(kept, op)
			}
		}
		u.Operations, u.Undocumented = kept, []gateway.UndocumentedUsage{}
	}
	if l.undocumented {
		u.Operations = []gateway.OperationUsage{}
	}
	if l.json {
		return json.NewEncoder(e.stdout).Encode(u)
	}
	return l.print(e, u)
}

// ask asks the admin API.
func (l *apiList) ask(ctx context.Context) (*gateway.APIUsage, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.address+"/v1/catalogue/usage", http.NoBody)
	if err != nil {
		return nil, usage("--admin is host:port, such as %s; have %q", gateway.DefaultAdmin, l.address)
	}
	if l.token != "" {
		token, err := os.ReadFile(l.token)
		if err != nil {
			return nil, fmt.Errorf("--token: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the gateway at %s: %w; is it running, and is that its \"admin\" address?", l.address, err)
	}
	defer resp.Body.Close()
	u := new(gateway.APIUsage)
	switch resp.StatusCode {
	case http.StatusOK:
		err = json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(u)
	case http.StatusUnauthorized:
		err = errors.New("it wants the token of its admin API; give its file with --token")
	case http.StatusNotFound:
		err = errors.New(`it has no catalogue; its configuration has to say "catalogue"`)
	default:
		err = fmt.Errorf("status %d; is that its \"admin\" address?", resp.StatusCode)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the gateway at %s: %w", l.address, err)
	}
	return u, nil
}

// print writes the operations, what is beside them, and what is wrong.
func (l *apiList) print(e *env, u *gateway.APIUsage) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	if !l.undocumented {
		fmt.Fprintln(w, "SERVICE\tMETHOD\tPATH\tREQUESTS\tLAST\tNOTE")
		for i := range u.Operations {
			printOperation(w, &u.Operations[i])
		}
	}
	if !l.unused && (l.undocumented || len(u.Undocumented) > 0) {
		if !l.undocumented {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, "ROUTE\tTO\tMETHOD\tUNDOCUMENTED PATH\tREQUESTS\tFIRST\tLAST")
		for _, o := range u.Undocumented {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", printable(o.Route), printable(o.To), o.Method, printable(o.Path), o.Requests, when(o.First), when(o.Last))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printSources(e, u)
}

func printOperation(w io.Writer, op *gateway.OperationUsage) {
	path, notes := strings.Join(op.Public, ", "), []string(nil)
	if path == "" {
		path = "(" + op.Path + ")"
	}
	if op.Deprecated {
		notes = append(notes, "deprecated")
	}
	if op.Note != "" {
		notes = append(notes, op.Note)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", printable(op.Service), op.Method, printable(path), op.Requests, when(op.Last), printable(strings.Join(notes, "; ")))
}

// when writes the time of a request; nil: there was none.
func when(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return moment(t.Truncate(time.Second))
}

// printSources writes what is wrong with documents, and what was not counted.
func printSources(e *env, u *gateway.APIUsage) error {
	for _, s := range u.Sources {
		if s.Error != "" {
			if _, err := fmt.Fprintf(e.stderr, "%s: %s: %s\n", printable(s.Name), printable(s.From), printable(s.Error)); err != nil {
				return err
			}
		}
	}
	if u.Unlisted > 0 {
		_, err := fmt.Fprintf(e.stderr, "%d undocumented requests are not listed: there are too many different paths\n", u.Unlisted)
		return err
	}
	return nil
}
