package redislimit

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/banyanhq/banyan"
)

const (
	// connections: a cluster makes one call at a time; the others are for calls
	// whose context has ended.
	connections = 3
	// dialTimeout is above limit.ClusterOptions.Timeout, so that a slow connection
	// serves the next call.
	dialTimeout = 2 * time.Second
	// oftener is how often a call is sent again when its connection broke.
	oftener = 1
	// retryPause is before that: the call has little time.
	retryPause = 2 * time.Millisecond
)

// errURL has nothing of the URL: where one is wrong, any part of it may be the
// password.
var errURL = errors.New("the URL is not understood; want redis://user:password@host:port/database, rediss:// or unix://user:password@/path?db=database, with %-encoding of special characters in the password, and only known parameters")

// connect makes a client, which connects when it is used.
func connect(text string, o *Options) (redis.UniversalClient, error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errURL
	}
	secure := u.Scheme == "rediss"
	if o.TLS != nil && !secure {
		return nil, errors.New("TLS is configured, and the URL is not rediss://")
	}
	if o.Cluster {
		return connectCluster(text, o)
	}
	c, err := redis.ParseURL(text)
	if err != nil {
		return nil, errURL
	}
	c.MaxRetries, c.MinRetryBackoff, c.MaxRetryBackoff = oftener, retryPause, retryPause
	c.DialerRetries, c.ContextTimeoutEnabled, c.DisableIdentity = 1, true, true
	c.PipelinePoolSize = -1
	c.MaintNotificationsConfig = quiet()
	if c.DialTimeout == 0 {
		c.DialTimeout = dialTimeout
	}
	if c.PoolSize == 0 {
		c.PoolSize = connections
	}
	if o.TLS != nil {
		name := c.TLSConfig.ServerName
		c.TLSConfig = o.TLS.Clone()
		if c.TLSConfig.ServerName == "" {
			c.TLSConfig.ServerName = name
		}
	}
	return redis.NewClient(c), nil
}

func connectCluster(text string, o *Options) (redis.UniversalClient, error) {
	c, err := redis.ParseClusterURL(text)
	if err != nil {
		return nil, errURL
	}
	c.MaxRetries, c.MinRetryBackoff, c.MaxRetryBackoff = oftener, retryPause, retryPause
	c.DialerRetries, c.ContextTimeoutEnabled, c.DisableIdentity = 1, true, true
	c.ReadOnly, c.RouteByLatency, c.RouteRandomly = false, false, false // replicas decide nothing
	c.PipelinePoolSize = -1
	c.MaintNotificationsConfig = quiet()
	if c.DialTimeout == 0 {
		c.DialTimeout = dialTimeout
	}
	if c.PoolSize == 0 {
		c.PoolSize = connections
	}
	if o.TLS != nil {
		c.TLSConfig = o.TLS.Clone()
	}
	return redis.NewClusterClient(c), nil
}

// quiet: no announcements of maintenance, which a few hosted servers have and
// which cost a command for each connection.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// classify gives an error of the client its kind.
func classify(err error) error {
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, redis.ErrClosed):
		return fmt.Errorf("%w: %w", banyan.ErrClosed, err)
	case redis.IsAuthError(err), redis.IsPermissionError(err), forbidden(err):
		return fmt.Errorf("%w: %w", banyan.ErrDenied, err)
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted), passing(err):
		return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	return err
}

// forbidden reports whether the user may not run a command inside a script, which
// servers before 7.2 and later ones say differently.
func forbidden(err error) bool {
	text := err.Error()
	return strings.Contains(text, "user executing the script can't") || strings.Contains(text, "ACL failure in script")
}

// passing reports whether a server refused because of the state that it is in.
func passing(err error) bool {
	for _, is := range []func(error) bool{
		redis.IsLoadingError, redis.IsReadOnlyError, redis.IsMasterDownError, redis.IsClusterDownError,
		redis.IsTryAgainError, redis.IsNoReplicasError, redis.IsMaxClientsError, redis.IsOOMError,
	} {
		if is(err) {
			return true
		}
	}
	for _, prefix := range []string{"BUSY ", "MISCONF ", "MOVED ", "ASK "} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
