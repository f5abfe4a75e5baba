package gatebench

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"text/template"
)

// Setup is what a proxy is told.
type Setup struct {
	Listen string // address
	Behind string // address of the server behind
	Dir    string // of its files
	Files  int    // how many it may open; 0: not known
	// Policies switches on what of authentication, limits, metrics and access log
	// the proxy has.
	Policies bool
	// Cache stores answers.
	Cache bool
	// TLS is spoken, with the certificate in Dir.
	TLS bool
	// Fast takes Traefik's experimental forwarder.
	Fast bool
}

// Port is that of Listen.
func (s Setup) Port() string {
	_, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return ""
	}
	return port
}

const nginxTemplate = `worker_processes auto; daemon off; pid {{.Dir}}/nginx.pid; error_log {{.Dir}}/nginx.log;{{if .Files}} worker_rlimit_nofile {{.Files}};{{end}}
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 10m;
{{- if .Cache}}
  proxy_cache_path {{.Dir}}/cache keys_zone=c:10m; open_file_cache max=1000 inactive=10m;
{{- end}}
  upstream behind { server {{.Behind}}; keepalive 128; keepalive_requests 100000000; }
  server {
    listen {{.Listen}}{{if .TLS}} ssl{{end}};
{{- if .TLS}}
    ssl_certificate {{.Dir}}/cert.pem; ssl_certificate_key {{.Dir}}/key.pem;
{{- end}}
    location / {
      proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
{{- if .Cache}}
      proxy_cache c; proxy_cache_valid 200 1h;
{{- end}}
    }
  }
}
`

func nginxConfigs(s Setup) map[string]string {
	return map[string]string{"nginx.conf": render(nginxTemplate, s)}
}

// By itself haproxy takes half as many connections as it may open files, because
// each could need one to a server.
const haproxyTemplate = `global
  maxconn 16000
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 10m
  timeout server 30s
  http-reuse always
  option forwardfor
frontend f
  http-request set-header X-Forwarded-Proto http{{if .TLS}}s{{end}}
  bind {{.Listen}}{{if .TLS}} ssl crt {{.Dir}}/both.pem{{end}}
  default_backend b
backend b
  server s {{.Behind}}
`

func haproxyConfigs(s Setup) map[string]string {
	return map[string]string{"haproxy.cfg": render(haproxyTemplate, s)}
}

const caddyTemplate = `{
	admin off
	persist_config off
	auto_https off
	log {
		level ERROR
	}
{{- if .Policies}}
	metrics
{{- end}}
	servers {
		protocols h1
		timeouts {
			idle 10m
		}
	}
}

{{if .TLS}}https{{else}}http{{end}}://:{{.Port}} {
	bind 127.0.0.1
{{- if .TLS}}
	tls {{.Dir}}/cert.pem {{.Dir}}/key.pem
{{- end}}
{{- if .Policies}}
	log {
		output file /dev/null {
			roll_disabled
		}
		format json
		level INFO
	}
{{- end}}
	reverse_proxy {{.Behind}} {
		transport http {
			compression off
			keepalive_idle_conns 512
			keepalive_idle_conns_per_host 256
		}
	}
}
`

func caddyConfigs(s Setup) map[string]string {
	return map[string]string{"Caddyfile": render(caddyTemplate, s)}
}

const traefikTemplate = `global:
  checkNewVersion: false
  sendAnonymousUsage: false
log:
  level: ERROR
entryPoints:
  web:
    address: "{{.Listen}}"
    transport:
      respondingTimeouts:
        idleTimeout: 10m
providers:
  file:
    filename: {{.Dir}}/dynamic.yml
    watch: false
serversTransport:
  maxIdleConnsPerHost: 256
{{- if .Policies}}
accessLog:
  filePath: /dev/null
  format: json
metrics:
  prometheus:
    manualRouting: true
    addEntryPointsLabels: true
    addRoutersLabels: true
    addServicesLabels: true
{{- end}}
{{- if .Fast}}
experimental:
  fastProxy: {}
{{- end}}
`

const traefikRoutes = `http:
  routers:
    all:
      rule: PathPrefix(` + "`/`" + `)
      entryPoints: [web]
      service: behind
{{- if .Policies}}
      middlewares: [limit]
{{- end}}
{{- if .TLS}}
      tls: {}
{{- end}}
  services:
    behind:
      loadBalancer:
        servers:
          - url: http://{{.Behind}}
{{- if .Policies}}
  middlewares:
    limit:
      rateLimit:
        average: 1000000
        burst: 1000000
{{- end}}
{{- if .TLS}}
tls:
  stores:
    default:
      defaultCertificate:
        certFile: {{.Dir}}/cert.pem
        keyFile: {{.Dir}}/key.pem
{{- end}}
`

func traefikConfigs(s Setup) map[string]string {
	return map[string]string{"traefik.yml": render(traefikTemplate, s), "dynamic.yml": render(traefikRoutes, s)}
}

// With the encoding no-op the engine forwards what the server behind answered,
// instead of composing an answer of its own.
const luraTemplate = `{
  "version": 3,
  "listen_ip": "127.0.0.1",
  "port": {{.Port}},
  "timeout": "30s",
  "idle_timeout": "10m",
  "max_idle_connections": 512,
  "max_idle_connections_per_host": 256,
  "disable_compression": true,
  "extra_config": {"github_com/luraproject/lura/router/gin": {"disable_access_log": {{not .Policies}}}},
  "endpoints": [
    {
      "endpoint": "/orders/{id}",
      "output_encoding": "no-op",
      "input_headers": ["*"],
      "backend": [{"host": ["http://{{.Behind}}"], "url_pattern": "/orders/{id}", "encoding": "no-op"}]
    }
  ]
}
`

func luraConfigs(s Setup) map[string]string {
	return map[string]string{"lura.json": render(luraTemplate, s)}
}

// Configs returns the files of a proxy by their names.
func Configs(name string, s Setup) (map[string]string, error) {
	p, ok := programs()[name]
	if !ok {
		return nil, fmt.Errorf("no proxy %q: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(programs())), ", "))
	}
	return p.configs(s), nil
}

// render fills a template of this package.
func render(text string, s Setup) string {
	var b strings.Builder
	t, err := template.New("").Parse(text)
	if err == nil {
		err = t.Execute(&b, s)
	}
	if err != nil {
		return err.Error() // which no proxy takes for a configuration
	}
	return b.String()
}
