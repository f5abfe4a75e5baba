package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cloudflare/tableflip"
	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/cmd/banyan/internal/demo"
)

// env is what a command has of the world around it. Tests bring their own.
type env struct {
	args     []string
	stdout   io.Writer // data
	stderr   io.Writer // progress and logs
	getenv   func(string) string
	now      func() time.Time
	terminal bool // stderr is one
	// upgrade prepares for handing the listeners over to a new process; nil: there
	// is no such thing.
	upgrade func(pidFile string) (*tableflip.Upgrader, error)
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError says that the command line is wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// run executes the command line and returns the exit code.
func run(ctx context.Context, e *env) int {
	root := newRootCommand(e)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(e.stderr, "banyan: %v\n", err)
	var wrong *usageError
	if errors.As(err, &wrong) {
		fmt.Fprintf(e.stderr, "Run \"%s --help\" for usage.\n", command.CommandPath())
		return exitUsage
	}
	return exitFailed
}

func newRootCommand(e *env) *cobra.Command {
	root := newGroup("banyan", "Run a gateway, look into event stores, look after projections", newRunCommand(e), newCheckCommand(e), newRoutesCommand(e), newAPICommand(e), newKeyCommand(e), newEventsCommand(e), newProjectionCommand(e), newBenchCommand(e), demo.New(e.terminal), newVersionCommand(e))
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(e.args)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	wrapArgs(root)
	return root
}

// newGroup returns a command that only has subcommands. Without one it shows its
// help; cobra alone would do so for an unknown one too, and report success.
func newGroup(use, short string, subcommands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use: use, Short: short,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			text := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				text += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
			}
			return errors.New(text)
		},
		RunE:                       func(c *cobra.Command, _ []string) error { return c.Help() },
		SuggestionsMinimumDistance: 2,
	}
	group.AddCommand(subcommands...)
	return group
}

// wrapArgs makes every complaint about arguments a usage error.
func wrapArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return &usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}

// oneArg wants exactly one argument and names it when it is missing.
func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("%s is missing", what)
		case 1:
			return nil
		default:
			return fmt.Errorf("unexpected argument %q behind %s", args[1], what)
		}
	}
}
