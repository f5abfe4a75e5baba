package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/pgtest"
)

// server is a PostgreSQL server, private or the user's, and the databases that
// this run made on it.
type server struct {
	url   *url.URL
	admin *pgx.Conn
	own   *pgtest.Server // nil if it is the user's
}

// openServer connects to the server of a URL, or starts one. Errors never show
// the URL: it may have a password.
func openServer(ctx context.Context, dsn string) (*server, error) {
	s := &server{}
	if dsn == "" {
		own, err := pgtest.Open(ctx, nil)
		if err != nil {
			return nil, err
		}
		s.own, dsn = own, own.DSN("postgres")
	}
	var err error
	if s.url, err = url.Parse(dsn); err != nil || !strings.HasPrefix(s.url.Scheme, "postgres") {
		return nil, errors.Join(fmt.Errorf("-url: %w: want postgres://…", banyan.ErrInvalid), s.close())
	}
	if s.admin, err = pgx.Connect(ctx, dsn); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *server) close() (err error) {
	if s.admin != nil {
		err = s.admin.Close(context.Background())
	}
	if s.own != nil {
		err = errors.Join(err, s.own.Close())
	}
	return err
}

// create makes an empty database and returns its URL.
func (s *server) create(ctx context.Context) (dsn, name string, err error) {
	name = "banyan_peers_" + strings.ReplaceAll(banyan.NewID(), "-", "")
	if _, err := s.admin.Exec(ctx, "create database "+name+" template template0 encoding 'UTF8'"); err != nil {
		return "", "", fmt.Errorf("create database: %w", err)
	}
	u := *s.url
	u.Path = "/" + name
	return u.String(), name, nil
}

// drop removes a database even if the run was interrupted.
func (s *server) drop(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if s.admin.IsClosed() { // an interrupt in the middle of a statement closes it
		conn, err := pgx.Connect(ctx, s.url.String())
		if err != nil {
			return fmt.Errorf("drop database %s: %w", name, err)
		}
		s.admin = conn
	}
	if _, err := s.admin.Exec(ctx, "drop database "+name+" with (force)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// tidy vacuums a database, so that no reader pays for what the fill left over.
func tidy(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "vacuum (analyze)")
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}
