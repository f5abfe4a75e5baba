package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/auth"
)

func newKeyCommand(e *env) *cobra.Command {
	return newGroup("key", "Make API keys for a gateway, and list and disable them", newKeyNewCommand(e), newKeyListCommand(e), newKeyDisableCommand(e))
}

// keyFlags say what a new key is for.
type keyFlags struct {
	subject, tenant, prefix, expires string
	scopes                           []string
}

func newKeyNewCommand(e *env) *cobra.Command {
	var f keyFlags
	c := &cobra.Command{
		Use: "new FILE", Short: "Make an API key and add its hash to a file",
		Long: "Make an API key. It is printed once; FILE, which \"api_keys: {file: FILE}\" in a\n" +
			"gateway's configuration names, gets its hash only. Gateways know it within ten\n" +
			"seconds. FILE is made if it is not there.",
		Example: "  banyan key new keys.json --subject partner-a --scope orders --expires 2027-12-31",
		Args:    oneArg("FILE"),
		RunE:    func(c *cobra.Command, args []string) error { return newKey(c.Context(), e, args[0], &f) },
	}
	set := c.Flags()
	set.StringVar(&f.subject, "subject", "", "whose key it is (required)")
	set.StringVar(&f.tenant, "tenant", "", "the customer that the subject belongs to")
	set.StringVar(&f.prefix, "prefix", "byn", "what the key begins with, 2 to 10 small letters; \"prefix\" in the configuration has to be the same")
	set.StringVar(&f.expires, "expires", "", "from when on it is refused: a time (2027-12-31T12:00:00Z) or a date, whose end counts; default: never")
	set.StringArrayVar(&f.scopes, "scope", nil, "a scope that it grants; may be repeated")
	return c
}

func newKey(ctx context.Context, e *env, file string, f *keyFlags) error {
	if f.subject == "" {
		return usage("--subject is missing: whose key is it?")
	}
	text, key, err := auth.GenerateKey(f.prefix, f.subject)
	if err != nil {
		return usage("%w; the subject is one line of text, the prefix 2 to 10 small letters", err)
	}
	key.Tenant, key.Scopes = f.tenant, f.scopes
	if f.expires != "" {
		if key.Expires, err = parseTime(f.expires, e.now()); err != nil {
			return err
		}
		if !key.Expires.After(e.now()) {
			return usage("--expires %s is not in the future", f.expires)
		}
	}
	if err := auth.KeyFile(file).Update(ctx, func(keys []auth.Key) ([]auth.Key, error) { return append(keys, key), nil }); err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "The key of %s, shown this once; %s has its hash, under the id %s:\n", printable(f.subject), file, key.ID)
	_, err = fmt.Fprintln(e.stdout, text)
	return err
}

func newKeyListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list FILE", Short: "List the API keys of a file",
		Args: oneArg("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			keys, err := auth.KeyFile(args[0]).Keys(c.Context())
			if err != nil {
				return err
			}
			return listKeys(e, keys)
		},
	}
}

func listKeys(e *env, keys []auth.Key) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSUBJECT\tTENANT\tSCOPES\tEXPIRES\tSTATE")
	for _, k := range keys {
		expires, state := "never", "good"
		if !k.Expires.IsZero() {
			expires = k.Expires.UTC().Format(time.RFC3339)
		}
		switch {
		case k.Disabled:
			state = "disabled"
		case !k.Expires.IsZero() && !k.Expires.After(e.now()):
			state = "expired"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(k.ID), printable(k.Subject), printable(k.Tenant), printable(strings.Join(k.Scopes, " ")), expires, state)
	}
	return w.Flush()
}

func newKeyDisableCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "disable FILE ID", Short: "Refuse an API key from now on",
		Long: "Refuse the key with an id, which \"banyan key list\" shows, from now on. It stays in the\n" +
			"list. Gateways know it within ten seconds.",
		Example: "  banyan key disable keys.json k7qz2m4a",
		Args:    wantArgs(0, "FILE", "ID"),
		RunE: func(c *cobra.Command, args []string) error {
			err := auth.KeyFile(args[0]).Update(c.Context(), func(keys []auth.Key) ([]auth.Key, error) {
				i := slices.IndexFunc(keys, func(k auth.Key) bool { return k.ID == args[1] })
				if i < 0 {
					return nil, fmt.Errorf("the key %q: %w; \"banyan key list\" shows those that there are", args[1], banyan.ErrNotFound)
				}
				keys[i].Disabled = true
				return keys, nil
			})
			if err == nil {
				fmt.Fprintf(e.stderr, "The key %s is refused from now on.\n", args[1])
			}
			return err
		},
	}
}
