package main

import (
	"strings"
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
		"--rate must be 0, or 0.001 to": {"--rate=-1"},
		"--rate must be 0, or 0.001":    {"--rate=NaN"},
		"--rate must be 0, or":          {"--rate=1e-12"},
		"--rate must be 0":              {"--rate=Inf"},
		"must be more than 0":           {"--connections", "0"},
		"--batch must be 1 to 50":       {"--batch", "51"},
		"--bytes must be 0 to 15360":    {"--bytes", "20000"},
		`mix: must be single`:           {"--mix", "double"},
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
	type may = map[trackway.Permission][]string
	private := func(id string, p may) trackway.Key {
		return trackway.Key{Name: id, Kind: trackway.PrivateKey, ID: id, Permissions: p}
	}
	public := func(token string, p may) trackway.Key {
		return trackway.Key{Kind: trackway.PublicKey, ID: token, Permissions: p}
	}
	shop := public("shop", may{trackway.SetEvents: {"purchase"}})
	cfg := &config.Config{Projects: []trackway.Project{
		{Token: "one", Keys: []trackway.Key{private("a", nil)}},
		{Token: "two", Keys: []trackway.Key{private("b", nil), public("web", nil), shop}},
		{Token: "three", Keys: []trackway.Key{private("c", nil), shop}},
		{Token: "four", Name: "four", Keys: []trackway.Key{private("d", may{trackway.GetEvents: nil}), shop}},
		{Token: "five", Keys: []trackway.Key{private("e", may{trackway.SetEvents: nil}), public("app", nil)}},
	}}
	for _, c := range []struct{ id, token, track, read, err string }{
		{"a", "one", "Basic YTpz", "Basic YTpz", ""},
		{"b", "two", "Token web", "Basic Yjpz", ""},
		{"c", "three", "Basic Yzpz", "Basic Yzpz", ""},
		{"d", "", "", "", "no public key of the project \"four\", nor the private key \"d\", may send events of the type \"bench\""},
		{"e", "", "", "", "the private key \"e\" may not read events of the type \"bench\""},
	} {
		token, track, read, err := credentials(cfg, config.PrivateKey{ID: c.id, Secret: "s"})
		if token != c.token || track != c.track || read != c.read || (err == nil) != (c.err == "") {
			t.Errorf("%s: got %s, %s, %s, %v, want %+v", c.id, token, track, read, err, c)
		}
		if err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, want %s", c.id, err, c.err)
		}
	}
}
