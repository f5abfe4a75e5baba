package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func newBackupCommand(e *env, at *location) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Copy a SQLite store to a new file while it is in use",
		Long:    "Write a copy of the database, events and read models, as it is at one moment,\nto a new file, while others go on writing. To restore, open the copy.",
		Example: "  banyan events backup orders-backup.db --store sqlite:orders.db",
		Args:    oneArg("FILE"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			start := e.now()
			db, err := at.database(c.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			if err := db.Backup(c.Context(), args[0]); err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(e.stdout, "%s: %d bytes (%v)\n", args[0], info.Size(), e.now().Sub(start).Round(time.Millisecond))
			return err
		},
	}
}
