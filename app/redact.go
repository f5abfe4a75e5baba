package app

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// masked stands where a password was, as in net/url's Redacted.
const masked = "xxxxx"

var (
	// A password may hold unescaped "/", "@" or spaces; so all up to the last "@".
	passwordInURL = regexp.MustCompile(`(//[^:@/\s]*):(.*)@`)
	// In prose that would swallow what is between two URLs; so without spaces.
	passwordInWord = regexp.MustCompile(`(//[^:@/\s]*):(\S*)@`)
	// Without "@" a URL is cut short: what follows the colon is a port or a secret.
	passwordCut = regexp.MustCompile(`(//[^:@/\s]*):([^@\s"]*[^@\s"/0-9][^@\s"]*)`)
	// In key=value form and in the query of a URL.
	passwordPair = regexp.MustCompile(`(?i)((?:ssl)?password|pwd)(\s*=\s*)('[^']*'|"[^"]*"|[^\s&;,]+)`)
)

// Redact returns a database URL or DSN in a form that may be shown: with xxxxx in
// the place of passwords.
func Redact(dsn string) string { return mask(dsn) }

// mask hides what looks like a password in a URL, or in a line with one URL.
func mask(text string) string { return maskBy(passwordInURL, text) }

func maskBy(inURL *regexp.Regexp, text string) string {
	text = passwordPair.ReplaceAllString(text, "${1}${2}"+masked)
	switch {
	case inURL.MatchString(text):
		return inURL.ReplaceAllString(text, "${1}:"+masked+"@")
	case passwordCut.MatchString(text):
		return passwordCut.ReplaceAllStringFunc(text, maskCut)
	}
	return text
}

var hostAndPort = regexp.MustCompile(`^//[^:/]*:[0-9]+(?:[/?].*)?$`)

func maskCut(m string) string {
	if hostAndPort.MatchString(m) {
		return m
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(m, "//"), ":")
	return "//" + host + ":" + masked
}

// maskLines is mask for each line of a file.
func maskLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = mask(lines[i])
	}
	return strings.Join(lines, "\n")
}

// secrets are the passwords of the URLs in use, in every spelling in which a
// driver or an encoder may show them. They are the second line of defence, for
// errors whose form mask does not know.
type secrets []string

func secretsOf(urls ...string) secrets {
	var all secrets
	for _, dsn := range urls {
		u, err := url.Parse(dsn)
		if err != nil {
			continue
		}
		if password, ok := u.User.Password(); ok {
			all = all.add(password, u)
		}
		for _, key := range []string{"password", "sslpassword"} {
			all = all.add(u.Query().Get(key), u)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(all)
}

// add leaves out passwords that are no secret or part of ordinary words, such as
// "postgres": hiding them everywhere would make logs unreadable, and mask hides
// them where they stand as a password.
func (s secrets) add(password string, u *url.URL) secrets {
	public := []string{u.Scheme, u.User.Username(), u.Hostname(), strings.Trim(u.Path, "/")}
	if len(password) < 4 || slices.ContainsFunc(public, func(p string) bool { return strings.Contains(p, password) }) {
		return s
	}
	quoted, _ := json.Marshal(password) // a string always encodes
	return append(s, password, url.QueryEscape(password), url.PathEscape(password), string(quoted[1:len(quoted)-1]))
}

func (s secrets) hide(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, masked)
	}
	return maskBy(passwordInWord, text)
}

// maskedError shows an error without secrets and keeps it for errors.Is and As.
type maskedError struct {
	err     error
	secrets secrets
}

func (e *maskedError) Error() string { return e.secrets.hide(e.err.Error()) }
func (e *maskedError) Unwrap() error { return e.err }

func (s secrets) error(err error) error {
	if err == nil {
		return nil
	}
	return &maskedError{err: err, secrets: s}
}

// maskedWriter hides secrets in what is written through it. It expects whole
// lines, as slog's handlers write them.
type maskedWriter struct {
	out io.Writer

	mu      sync.Mutex
	secrets secrets // guarded by mu
}

func (w *maskedWriter) learn(more secrets) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets = append(w.secrets, more...)
}

func (w *maskedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := p
	for _, secret := range w.secrets {
		line = bytes.ReplaceAll(line, []byte(secret), []byte(masked))
	}
	if _, err := w.out.Write(line); err != nil {
		return 0, err
	}
	return len(p), nil
}
