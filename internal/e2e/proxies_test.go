package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"trackway/internal/porttest"
	"trackway/internal/prereq"
)

const (
	proxyPage = "run-behind-nginx-or-caddy.md"
	proxyHost = "track.example.com" // as in the guide
	clientIP  = "127.0.0.9"         // of a client that is not a trusted proxy
)

// behind is a server behind a proxy.
type behind struct {
	*server
	front  string       // the proxy's address
	client *http.Client // calls the proxy, from clientIP
}

// TestProxies runs proxies with the configurations in the guide, and checks
// that they do what the guide says.
func TestProxies(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux lets a client have another address of this machine")
	}
	guide := blocks(t, proxyPage)
	for name, front := range map[string]func(t *testing.T, guide []block, dir string, b *behind){
		prereq.Nginx: startNginx, prereq.Caddy: startCaddy,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := strings.Replace(gridConfig(pagesPassword, wideLimits), "127.0.0.0/8", "127.0.0.1/32", 1)
			dir := t.TempDir()
			certify(t, dir, 1, time.Now().Add(time.Hour))
			b := &behind{front: porttest.Address(t)}
			transport := &http.Transport{
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					from := &net.TCPAddr{IP: net.ParseIP(clientIP)}
					return (&net.Dialer{LocalAddr: from}).DialContext(ctx, network, b.front)
				},
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: proxyHost},
			}
			t.Cleanup(transport.CloseIdleConnections)
			b.client = &http.Client{Transport: transport}
			b.server = start(t, config)
			b.log.private("proxied@example.com")
			front(t, guide, dir, b)
			b.await(t)
			b.checkCallers(t)
			b.checkPages(t)
			b.checkLargeBody(t)
		})
	}
}

// startNginx runs nginx with the guide's file. Only the addresses and the paths
// of the certificate are replaced.
func startNginx(t *testing.T, guide []block, dir string, b *behind) {
	t.Helper()
	site := strings.NewReplacer(
		"127.0.0.1:8080", b.public, "listen 443", "listen "+b.front, "listen [::]:443 ssl;", "",
		"/etc/letsencrypt/live/track.example.com/fullchain.pem", filepath.Join(dir, "cert.pem"),
		"/etc/letsencrypt/live/track.example.com/privkey.pem", filepath.Join(dir, "key.pem"),
	).Replace(file(t, guide, "/etc/nginx/conf.d/trackway.conf"))
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // other users cannot read the test's directory
	}
	config := fmt.Sprintf(`daemon off; pid %[1]s/nginx.pid; error_log %[1]s/error.log; %[2]s
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	%[3]s
}
`, dir, user, site)
	runProxy(t, prereq.Nginx, dir, "nginx.conf", config, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
}

// startCaddy runs Caddy with the guide's file and a given certificate, since
// Caddy cannot get one here.
func startCaddy(t *testing.T, guide []block, dir string, b *behind) {
	t.Helper()
	host, port, _ := net.SplitHostPort(b.front)
	site := strings.NewReplacer(
		"127.0.0.1:8080", b.public,
		proxyHost+" {", fmt.Sprintf("https://%s:%s {\n\tbind %s\n\ttls %s/cert.pem %[4]s/key.pem", proxyHost, port, host, dir),
	).Replace(file(t, guide, "/etc/caddy/Caddyfile"))
	config := "{\n\tadmin off\n\tauto_https off\n}\n" + site
	runProxy(t, prereq.Caddy, dir, "Caddyfile", config, "run", "--config", filepath.Join(dir, "Caddyfile"))
}

// runProxy runs a proxy until the test ends. If the test fails, it shows the
// proxy's messages.
func runProxy(t *testing.T, program, dir, name, config string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + program); err != nil { // Debian has it there, outside of PATH
			prereq.Missing(t, program, err.Error())
		}
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	proxy := exec.Command(path, args...)
	proxy.Dir, proxy.Stdout, proxy.Stderr = dir, &out, &out
	proxy.Env = []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = proxy.Process.Signal(os.Interrupt) // the proxy ends its own processes
		_ = proxy.Wait()
		if t.Failed() {
			t.Logf("%s wrote:\n%s\nwith\n%s", program, &out, config)
		}
	})
}

// await waits until the proxy answers.
func (b *behind) await(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.front)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the proxy does not listen: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// call sends a request to the proxy. The answer must be a 200.
func (b *behind) call(t *testing.T, r request) *http.Response {
	t.Helper()
	req, err := b.newRequest(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Scheme, req.URL.Host = "https", proxyHost
	req.Host = proxyHost
	res, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		t.Fatalf("%s: got %d %s", r.path, res.StatusCode, text)
	}
	return res
}

// checkCallers checks that the client's real address is counted, whatever the
// client claims.
func (b *behind) checkCallers(t *testing.T) {
	t.Helper()
	res := b.call(t, request{path: "/track/v2/projects/{token}/system/time", header: from(flooder)})
	_ = res.Body.Close()
	got := b.do(t, request{path: "/api/limits/callers"}).String()
	if !strings.Contains(got, `"`+clientIP+`"`) || strings.Contains(got, flooder) || !strings.Contains(got, "X-Forwarded-For from 127.0.0.1") {
		t.Errorf("want a caller %s and none of %s, in\n%s", clientIP, flooder, got)
	}
}

// checkLargeBody checks that a batch of more than a megabyte passes.
func (b *behind) checkLargeBody(t *testing.T) {
	t.Helper()
	one := command{"customers/events", encode(t, map[string]any{
		"customer_ids": map[string]string{"registered": "proxied@example.com"}, "event_type": "large",
		"properties": map[string]string{"text": strings.Repeat("x", 700_000)},
	})}
	res := b.call(t, request{path: "/track/v2/projects/{token}/batch", body: encode(t, map[string]any{"commands": []command{one, one, one}})})
	_ = res.Body.Close()
}

// checkPages signs in to the server's own pages, and watches events.
func (b *behind) checkPages(t *testing.T) {
	t.Helper()
	res := b.call(t, request{
		path: "/grid/session", auth: "none", body: encode(t, map[string]string{"password": pagesPassword}),
		header: map[string]string{"Origin": "https://" + proxyHost},
	})
	_ = res.Body.Close()
	cookie := res.Header.Get("Set-Cookie")
	if !strings.Contains(cookie, "Secure") {
		t.Errorf("the session is not restricted to HTTPS: %s", cookie)
	}
	session, _, _ := strings.Cut(cookie, ";")
	b.log.private(session, pagesPassword)
	stream := b.call(t, request{path: "/grid/live", auth: "none", header: map[string]string{"Cookie": session}})
	defer stream.Body.Close()
	late := time.AfterFunc(patience, func() { _ = stream.Body.Close() })
	defer late.Stop()
	b.track(t, "customers/events", map[string]any{"customer_ids": map[string]string{"registered": "proxied@example.com"}, "event_type": "watched"})
	lines := bufio.NewScanner(stream.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"watched"`) {
			return
		}
	}
	t.Errorf("the event does not come through the proxy as it happens: %v", lines.Err())
}
