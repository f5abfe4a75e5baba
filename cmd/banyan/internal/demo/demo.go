// Package demo is the command "banyan demo": it runs the shop of example/shop and
// the monolith behind a gateway in one process, imports a month of invoices
// through its HTTP interface, and prints what the read models then say.
//
// The importer knows the shop only as a client: what it prints comes from the
// read models, over HTTP, after they have caught up. It may be stopped at any
// moment, by kill -9 too, and run again on the same folder: the shop recognises
// what it has.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop"
	"github.com/banyanhq/banyan/example/shop/retail"
	"github.com/banyanhq/banyan/gateway"
)

// options are the flags.
type options struct {
	data    string
	dir     string
	store   string
	clients int
	listen  string
	admin   string
	exit    bool
	json    bool
}

// maxClients is what one machine can do with sockets of its own.
const maxClients = 1000

// New returns the command. terminal says whether its standard error is one.
func New(terminal bool) *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run a shop on embedded back ends and import a month of orders",
		Long: `Run the reference shop (orders, users, payments, inventory, catalogue, analytics)
and the monolith that it grew out of, all behind one gateway, in this process. Import a month of
invoices through the gateway, print a summary of the shop's read models, and go on
serving until Ctrl-C. The monolith is at /monolith/; the gateway's configuration
is banyan.yaml in the data folder.

The month is a CSV file in the format of the "Online Retail" data set, or a
generated one. Rows that the shop rejects are in rejects.csv in the data folder.
Running it again on the same folder imports nothing twice.`,
		Example: "  banyan demo --exit\n  banyan demo --data 2010-12.csv.gz --dir ./shop --json --exit",
		// Complaints of Args are about the usage, those of RunE are failures.
		Args: func(c *cobra.Command, args []string) error { return errors.Join(cobra.NoArgs(c, args), o.check()) },
		RunE: func(c *cobra.Command, _ []string) error {
			d := &demo{options: *o, stdout: c.OutOrStdout(), stderr: c.ErrOrStderr(), terminal: terminal}
			return d.run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "CSV file to import, plain or compressed with gzip (default: a generated month)")
	f.StringVar(&o.dir, "dir", "", "folder for the data of the shop (default: a new temporary folder)")
	f.StringVar(&o.store, "store", "", "URL of the back end, sqlite:PATH, postgres://… or mem:; each service gets a database of its own, derived from it (default: SQLite files in the folder)")
	f.IntVar(&o.clients, "clients", 8, "how many clients post invoices at the same time")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address to serve at; a free port is taken when this one is not free")
	f.StringVar(&o.admin, "admin", gateway.DefaultAdmin, "address of the gateway's admin API; a free port is taken when this one is not free")
	f.BoolVar(&o.exit, "exit", false, "stop after the import instead of serving on")
	f.BoolVar(&o.json, "json", false, "print the summary as one JSON object")
	return c
}

func (o *options) check() error {
	if o.clients < 1 || o.clients > maxClients {
		return fmt.Errorf("--clients %d: want a number from 1 to %d", o.clients, maxClients)
	}
	if o.store != "" {
		if _, err := shop.URLFor(o.store, "orders"); err != nil {
			return fmt.Errorf("--store: %w", err)
		}
	}
	return nil
}

// demo is one run of the command.
type demo struct {
	options
	stdout   io.Writer // the summary and nothing else
	stderr   io.Writer
	terminal bool
	printed  *summary // nil: none yet
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.stderr, format+"\n", args...) }

func (d *demo) run(ctx context.Context) error {
	if err := d.folder(); err != nil {
		return err
	}
	month, damage, err := d.month()
	if err != nil {
		return err
	}
	a, err := d.open(ctx)
	if err != nil {
		return err
	}
	// The shop outlives ctx: requests under way are answered before it drains.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	stopped := make(chan error, 1)
	go func() { stopped <- a.Run(serving) }()
	d.say("Shop: http://%s (interface: http://%[1]s/openapi.json)", a.Addr())
	d.say("It stands behind a gateway: %s", filepath.Join(d.dir, configFile))

	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	worked := make(chan error, 1)
	go func() { worked <- d.work(working, a.Addr(), month, damage) }()
	select {
	case err = <-worked:
	case failure := <-stopped: // the shop itself failed: that is what went wrong
		cancel(failure)
		<-worked
		return failure
	}
	if err != nil {
		stop()
		return errors.Join(err, <-stopped)
	}
	return d.serveOn(ctx, a.Addr(), a.edge.AdminAddr(), stop, stopped)
}

// serveOn goes on until Ctrl-C, or stops at once with --exit.
func (d *demo) serveOn(ctx context.Context, addr, admin string, stop func(), stopped <-chan error) error {
	if !d.exit {
		d.suggest(addr, admin)
		d.say("Serving at http://%s. Ctrl-C stops.", addr)
		select {
		case <-ctx.Done():
			d.say("Draining.")
		case err := <-stopped:
			return err
		}
	}
	stop()
	return <-stopped
}

// suggest says what to look at first: things of which there is something to see.
func (d *demo) suggest(addr, admin string) {
	customer, product := "17850", "85123A" // of the data set
	if d.printed != nil && len(d.printed.TopCustomers) > 0 && len(d.printed.TopProducts) > 0 {
		customer, product = d.printed.TopCustomers[0].id, d.printed.TopProducts[0].id
	}
	d.say("One screen of the app, made of five services:\n  curl 'http://%s/mobile/home?customer=%s'", addr, url.QueryEscape(customer))
	d.say("A product as partners see it:\n  curl http://%s/partner/products/%s", addr, url.PathEscape(product))
	d.say("What only the shop's staff may do, and gets 401 without their key:\n  curl -X PUT http://%s/users/%s/block -H 'Content-Type: application/json' -d '{\"reason\":\"fraud\"}' -H \"X-Api-Key: $(cat '%s')\"", addr, url.PathEscape(customer), filepath.Join(d.dir, staffKey))
	d.say("What the gateway has done:\n  go run ./cmd/banyan routes --admin %s", admin)
}

// work imports the month and prints the summary.
func (d *demo) work(ctx context.Context, addr string, month *retail.File, damage *retail.DamagedError) error {
	client := newClient(addr, d.clients)
	defer client.close()
	start := time.Now()
	done, err := client.importAll(ctx, month, d.clients, newProgress(d.stderr, d.terminal, len(month.Invoices)))
	if err != nil {
		return fmt.Errorf("demo: %w; what was imported stays: run it again with --dir %s", err, d.dir)
	}
	end, err := client.settledEnd(ctx)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s, err := client.summary(ctx, end)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s.refuse(done.refused)
	s.measure(done.took, time.Since(start))
	if err := d.writeRejects(ctx, client, end, append(done.refused, cutRows(damage)...)); err != nil {
		return err
	}
	if damage != nil {
		return damage
	}
	d.printed = s
	if err := s.print(d.stdout, d.json); err != nil {
		return fmt.Errorf("demo: print the summary: %w", err)
	}
	d.say("Rejected rows: %s", filepath.Join(d.dir, rejectsFile))
	if n := len(done.refused); n > 0 {
		return fmt.Errorf("demo: %d rows were refused, the first with: %s; all are in %s", n, done.refused[0].Reason, filepath.Join(d.dir, rejectsFile))
	}
	return nil
}

const rejectsFile = "rejects.csv"

// writeRejects writes all rejected rows: those that the shop knows, and those that
// it would not take, or was not sent, in this run.
func (d *demo) writeRejects(ctx context.Context, c *client, end end, refused []retail.Reject) error {
	known, err := c.rejects(ctx, end)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := retail.WriteRejects(filepath.Join(d.dir, rejectsFile), append(known, refused...)); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// cutRows are the rows of the invoice that the damage of a file may have cut.
func cutRows(damage *retail.DamagedError) []retail.Reject {
	if damage == nil || damage.Cut == nil {
		return nil
	}
	reason := fmt.Sprintf("not imported: the file is damaged at line %d, and this invoice may be cut", damage.Line)
	return rejectsOf(damage.File, *damage.Cut, reason)
}

// folder makes the data folder.
func (d *demo) folder() (err error) {
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "banyan-demo-"); err != nil {
			return fmt.Errorf("demo: make a data folder: %w", err)
		}
	} else if err = os.MkdirAll(d.dir, 0o750); err != nil {
		return fmt.Errorf("demo: make the data folder: %w", err)
	}
	d.say("Data folder: %s", d.dir)
	return nil
}

// The generated month is the same on every machine.
const generatedSeed = 1

func generatedMonth() time.Time { return time.Date(2010, 12, 1, 0, 0, 0, 0, time.UTC) }

// month reads what is to be imported. A damaged file is imported as far as it can
// be read; one of which nothing can be read is an error at once.
func (d *demo) month() (*retail.File, *retail.DamagedError, error) {
	name := d.data
	if name == "" {
		name = filepath.Join(d.dir, "generated.csv")
		if err := generate(name); err != nil {
			return nil, nil, err
		}
	}
	month, err := retail.Read(name)
	var damage *retail.DamagedError
	if err != nil && (!errors.As(err, &damage) || len(month.Invoices) == 0 && damage.Cut == nil) {
		return nil, nil, err
	}
	return month, damage, nil
}

func generate(name string) error {
	draft := name + ".new" // a run that is killed leaves no half month behind
	f, err := os.Create(draft)
	if err != nil {
		return fmt.Errorf("demo: generate a month: %w", err)
	}
	err = errors.Join(retail.Generate(f, generatedSeed, generatedMonth()), f.Close())
	if err == nil {
		err = os.Rename(draft, name)
	}
	if err != nil {
		return fmt.Errorf("demo: generate a month: %w", err)
	}
	return nil
}

// openShop opens the shop with all its services, at a port of its own.
func (d *demo) openShop(ctx context.Context) (*app.App, error) {
	base := d.store
	if base == "" {
		base = "sqlite:"
	}
	urls := map[string]string{}
	for _, service := range append([]string{"orders", "rejects"}, shop.Databases()...) {
		url, err := shop.URLFor(base, service)
		if err != nil {
			return nil, err
		}
		urls[service] = url
	}
	a, err := app.New(ctx, app.Config{
		// The list of rejects has a database of its own: a batch of rows must not
		// hold up orders.
		Name: "shop", StoreURL: urls["orders"], ViewsURL: urls["rejects"],
		Dir: d.dir, Listen: "127.0.0.1:0", Log: newLog(d.stderr),
		// Users and payments are in this process: where they are slow, the machine
		// is, and an order that waits for its validation only adds to that.
		Settings: map[string]string{"patience": "20s"},
	})
	if err != nil {
		return nil, err
	}
	if err := shop.All(a, func(service string) string { return urls[service] }); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}
