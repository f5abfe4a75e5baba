package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/gateway"
)

func newRoutesCommand(e *env) *cobra.Command {
	var address, token string
	var asJSON bool
	c := &cobra.Command{
		Use: "routes", Short: "Show the routes of a running gateway",
		Long: "Ask a running gateway for its routes and upstreams, with what they have done since it\n" +
			"started. P50 and P99 are until the last byte of an answer.",
		Example: "  banyan routes --admin 127.0.0.1:9901",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return routes(c.Context(), e, address, token, asJSON)
		},
	}
	c.Flags().StringVar(&address, "admin", gateway.DefaultAdmin, "the gateway's admin `ADDRESS`")
	c.Flags().StringVar(&token, "token", "", "`FILE` with the token of the admin API, if it has one")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// maxStatus is how much of an answer is read, in bytes.
const maxStatus = 64 << 20

func routes(ctx context.Context, e *env, address, tokenFile string, asJSON bool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/status", http.NoBody)
	if err != nil {
		return usage("--admin is host:port, such as %s; have %q", gateway.DefaultAdmin, address)
	}
	if tokenFile != "" {
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			return fmt.Errorf("--token: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("ask the gateway at %s: %w; is it running, and is that its \"admin\" address?", address, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	switch {
	case err != nil:
		return fmt.Errorf("ask the gateway at %s: %w", address, err)
	case resp.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("ask the gateway at %s: it wants the token of its admin API; give its file with --token", address)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("ask the gateway at %s: status %d; is that its \"admin\" address?", address, resp.StatusCode)
	}
	var status gateway.Status
	if err := json.Unmarshal(text, &status); err != nil {
		return fmt.Errorf("ask the gateway at %s: the answer is not a gateway's: %w", address, err)
	}
	if asJSON {
		_, err := e.stdout.Write(text)
		return err
	}
	return printRoutes(e, &status)
}

func printRoutes(e *env, s *gateway.Status) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROUTE\tTO\tREQUESTS\t4XX\t5XX\tFALLBACKS\tIN FLIGHT\tP50 MS\tP99 MS")
	for _, r := range s.Routes {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.1f\n", printable(r.Name), r.To, r.Requests, r.Refused, r.Failed, r.Fallbacks, r.InFlight, r.P50MS, r.P99MS)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(e.stdout)
	fmt.Fprintln(w, "UPSTREAM\tTARGET\tHEALTH\tCALLS\tFAILED\tIN FLIGHT\tMEAN MS")
	for _, u := range s.Upstreams {
		for _, t := range u.Targets {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%.1f\n", printable(u.Name), t.URL, t.Health, t.Calls, t.Failures, t.InFlight, t.LatencyMS)
		}
	}
	return w.Flush()
}
