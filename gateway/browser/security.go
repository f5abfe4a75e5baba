package browser

import "net/http"

// field is a header and what it is set to.
type field struct{ name, value string }

// fields returns the security headers that are on. Strict-Transport-Security is
// the first.
func (s *Security) fields() []field {
	all := []struct{ name, value, otherwise string }{
		{"Strict-Transport-Security", s.StrictTransport, "max-age=31536000"},
		{"X-Content-Type-Options", s.ContentTypeOptions, "nosniff"},
		{"Referrer-Policy", s.ReferrerPolicy, "strict-origin-when-cross-origin"},
		{"X-Frame-Options", s.FrameOptions, "SAMEORIGIN"},
		{"Content-Security-Policy", s.ContentPolicy, off},
		{"Permissions-Policy", s.Permissions, off},
		{"Cross-Origin-Opener-Policy", s.OpenerPolicy, off},
		{"Cross-Origin-Resource-Policy", s.ResourcePolicy, off},
	}
	var on []field
	for _, f := range all {
		if f.value == "" {
			f.value = f.otherwise
		}
		if f.value != off {
			on = append(on, field{f.name, f.value})
		}
	}
	return on
}

// security is a compiled Security.
type security struct {
	fields  []field
	replace bool
}

func newSecurity(s *Security) *security {
	if s == nil {
		return nil
	}
	return &security{s.fields(), s.Replace}
}

const strictTransport = "Strict-Transport-Security"

// answer sets the headers of an answer.
func (s *security) answer(h http.Header, status int, secure bool) {
	for _, f := range s.fields {
		transport := f.name == strictTransport
		switch {
		case s.replace:
			h[f.name] = []string{f.value}
		case status == http.StatusNotModified && !transport: // a host's policy is of no stored answer
		case len(h[f.name]) == 0:
			h[f.name] = []string{f.value}
		}
	}
	if !secure {
		delete(h, strictTransport)
	}
}
