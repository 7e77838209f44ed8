package main

import (
	"testing"

	"trackway"
	"trackway/internal/config"
)

func TestBenchRefuses(t *testing.T) {
	t.Parallel()
	path := configure(t, "listen: 127.0.0.1:1\n", "secret: s3cret")
	for want, args := range map[string][]string{
		"is not this machine":           {"--url", "http://192.0.2.1"},
		"--url must be an address":      {"--url", "192.0.2.1"},
		"--rate must not be negative":   {"--rate=-1"},
		"must be above zero":            {"--connections", "0"},
		"--batch must be 1 to 50":       {"--batch", "51"},
		"--bytes must be 0 to 15360":    {"--bytes", "20000"},
		`mix: "double" is none of`:      {"--mix", "double"},
		"no answer from http://127.0.0": {},
	} {
		stdout, stderr := runs(t, failed, append([]string{"bench", "--config", path}, args...)...)
		contains(t, "bench", stderr, want)
		if stdout != "" {
			t.Errorf("%q: got %q, want nothing", args, stdout)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost": true, "https://[::1]:1": true,
		"http://127.9.9.9": true, "http://[::ffff:127.0.0.1]": true,
		"http://10.0.0.1": false, "http://example.com": false, "http://localhost.example.com": false, "http://0.0.0.0": false,
	} {
		if got := isLoopback(url); got != want {
			t.Errorf("%s: got %t, want %t", url, got, want)
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	private := func(id string) trackway.Key { return trackway.Key{Kind: trackway.PrivateKey, ID: id} }
	cfg := &config.Config{Projects: []trackway.Project{
		{Token: "one", Keys: []trackway.Key{private("a")}},
		{Token: "two", Keys: []trackway.Key{private("b"), {Kind: trackway.PublicKey, ID: "web"}}},
	}}
	for _, c := range []struct{ id, token, track, read string }{
		{"a", "one", "Basic YTpz", "Basic YTpz"},
		{"b", "two", "Token web", "Basic Yjpz"},
	} {
		token, track, read := credentials(cfg, config.PrivateKey{ID: c.id, Secret: "s"})
		if token != c.token || track != c.track || read != c.read {
			t.Errorf("%s: got %s, %s, %s, want %+v", c.id, token, track, read, c)
		}
	}
}
