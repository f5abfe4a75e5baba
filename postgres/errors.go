package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/banyanhq/banyan"
)

// SQLSTATE codes that are told apart (PostgreSQL documentation, appendix A).
const (
	codeUnique        = "23505"
	codeLockTimeout   = "55P03"
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeNoTable       = "42P01"
	codeNoColumn      = "42703"
	codeNoDatabase    = "3D000"
	codeDenied        = "42501"
	codeShutdown      = "57P01"
	codeCrash         = "57P02"
)

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// taken reports whether a unique index refused the statement: somebody else
// appended to the stream, or stored the event, first.
func taken(err error) bool { return sqlState(err) == codeUnique }

// locked reports whether the statement gave up waiting for a lock.
func locked(err error) bool { return sqlState(err) == codeLockTimeout }

// rerun reports whether the server rolled the statement back only because of
// other transactions at the same time.
func rerun(err error) bool {
	code := sqlState(err)
	return code == codeSerialization || code == codeDeadlock
}

// unsent marks an error from before anything was sent: nothing was written. A
// dial that takes too long looks like the end of the caller's context but is
// not: only ctx tells.
func unsent(ctx context.Context, err error) error {
	var pg *pgconn.PgError
	if err == nil || banyan.Kind(err) != nil || ctx.Err() != nil || errors.As(err, &pg) {
		return err
	}
	return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
}

// classify gives the error of a write its kind. One without a kind stays
// without: the outcome is unknown.
func classify(err error) error {
	if err == nil || banyan.Kind(err) != nil {
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return classifyServer(err, pg)
	}
	if banyan.Stopped(err) && !pgconn.SafeToRetry(err) {
		return err
	}
	if pgconn.SafeToRetry(err) && !banyan.Stopped(err) {
		return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	return err
}

// classifyServer: an error that the server reports has rolled the statement
// back, whatever it is. Only the end of the whole session may hide a commit: a
// server that cannot write its log panics, and after recovery the commit may be
// there (https://wiki.postgresql.org/wiki/Fsync_Errors).
func classifyServer(err error, pg *pgconn.PgError) error {
	kind := banyan.ErrUnavailable
	switch {
	case endsSession(err, pg):
		return err
	case pg.Code == codeDenied || strings.HasPrefix(pg.Code, "28"):
		kind = banyan.ErrDenied
	case pg.Code == codeNoDatabase:
		kind = banyan.ErrNotFound
	case strings.HasPrefix(pg.Code, "XX00"):
		if pg.Code != "XX000" {
			kind = banyan.ErrCorrupt
		}
	case strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23") || strings.HasPrefix(pg.Code, "54") || pg.Code == "P0001":
		kind = banyan.ErrInvalid
	case pg.Code == "25006":
		return fmt.Errorf("%w: the server takes no writes (it is read-only or became a standby): %w", kind, err)
	case pg.Code == "53100":
		return fmt.Errorf("%w: the server's disk is full: %w", kind, err)
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// endsSession reports whether the error ended a session that had begun. A
// connection that was refused is another thing: nothing was sent on it.
func endsSession(err error, pg *pgconn.PgError) bool {
	var refused *pgconn.ConnectError
	severity := pg.SeverityUnlocalized
	return pg.Code == codeShutdown || pg.Code == codeCrash || severity == "PANIC" ||
		(severity == "FATAL" && !errors.As(err, &refused))
}

// classifyRead gives the error of a read its kind: a read has no unknown outcome.
func classifyRead(err error) error {
	if err == nil || banyan.Kind(err) != nil || banyan.Stopped(err) {
		return err
	}
	if err := classify(err); banyan.Kind(err) != nil {
		return err
	}
	return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
}

// brokenConn reports whether err is about the connection and not the statement.
func brokenConn(err error) bool {
	var network net.Error
	code := sqlState(err)
	return code == codeShutdown || code == codeCrash || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		(code == "" && (pgconn.SafeToRetry(err) || errors.As(err, &network))) && !errors.Is(err, context.DeadlineExceeded)
}

func isNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
