package gatebench

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// spawn starts a process and waits until it accepts connections.
func (b *bench) spawn(command *exec.Cmd, listen string) error {
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	b.stops = append(b.stops, func() {
		_ = command.Process.Kill() // it may have ended
		<-ended
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", listen, time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("it ended: %w: %s", err, said.String())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not listen: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// nginxConfig: pid, errors, http part, listen, location.
const nginxConfig = `worker_processes auto; daemon off; pid %s; error_log %s;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; %s
  upstream behind { server %s; keepalive 128; keepalive_requests 100000000; }
  server { listen %s; location / { proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; %s } }
}
`

func (b *bench) nginx(listen string) (*exec.Cmd, error) {
	return b.nginxWith("nginx", listen, "", "")
}

func (b *bench) nginxCache(listen string) (*exec.Cmd, error) {
	return b.nginxWith("nginx-cache", listen,
		"proxy_cache_path "+filepath.Join(b.dir, "cache")+" keys_zone=c:10m;", "proxy_cache c; proxy_cache_valid 200 1h;")
}

func (b *bench) nginxWith(name, listen, http, location string) (*exec.Cmd, error) {
	if err := os.Chmod(b.dir, 0o755); err != nil { //nolint:gosec // its workers have another user
		return nil, err
	}
	file := filepath.Join(b.dir, name+".conf")
	text := fmt.Sprintf(nginxConfig, filepath.Join(b.dir, name+".pid"), filepath.Join(b.dir, name+".log"), http, b.behind, listen, location)
	return exec.Command("nginx", "-c", file), os.WriteFile(file, []byte(text), 0o600)
}

// haproxyConfig: listen, server.
const haproxyConfig = `global
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  http-reuse always
frontend f
  bind %s
  default_backend b
backend b
  server s %s
`

func (b *bench) haproxy(listen string) (*exec.Cmd, error) {
	file := filepath.Join(b.dir, "haproxy.cfg")
	return exec.Command("haproxy", "-db", "-f", file), os.WriteFile(file, fmt.Appendf(nil, haproxyConfig, listen, b.behind), 0o600)
}
