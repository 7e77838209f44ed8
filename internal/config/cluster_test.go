package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/config/membership"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	const loopback = "cluster: {name: eu, listen: 127.0.0.1:1, peers: [\"127.0.0.1:1\", \"[::1]:2\"]}\n"
	got := mustParse(t, loopback+minimal, Flags{}).Cluster
	want := membership.Cluster{Log: "raft", Name: "eu", Listen: "127.0.0.1:1", Advertise: "127.0.0.1:1", Peers: []string{"127.0.0.1:1", "[::1]:2"}, Heartbeat: 2 * time.Second, MaxClockSkew: 10 * time.Second, Reserve: 1 << 30, Copies: 3}
	if diff := cmp.Diff(want, got); diff != "" || !got.Member() {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const tls = "cluster: {log: raft, name: eu, listen: \":1\", advertise: ts1:1, tls: {ca: ca.pem, cert: c.pem, key: /k.pem}, heartbeat: 500ms, max_clock_skew: 3s, reserve: 0, copies: 5}\n"
	cfg, err := Parse(filepath.Join("conf", "t.yaml"), []byte(tls+minimal), Flags{}, env)
	if err != nil {
		t.Fatal(err)
	}
	want = membership.Cluster{
		Log: "raft", Name: "eu", Listen: ":1", Advertise: "ts1:1", Heartbeat: 500 * time.Millisecond, MaxClockSkew: 3 * time.Second, Copies: 5,
		TLS: membership.TLS{CA: filepath.Join("conf", "ca.pem"), Cert: filepath.Join("conf", "c.pem"), Key: "/k.pem"},
	}
	if diff := cmp.Diff(want, cfg.Cluster); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const kafka = "cluster: {log: kafka, name: eu, listen: 127.0.0.1:1, kafka: {url: \"kafka://k\", user: u, password: p}}\n"
	got = mustParse(t, kafka+minimal, Flags{}).Cluster
	if k := got.Kafka; k.URL != "kafka://k" || k.User != "u" || k.Password != "p" || k.Topic != "trackway" {
		t.Errorf("got %+v", k)
	}
	alone := mustParse(t, "cluster: {}\n"+minimal, Flags{})
	if alone.Cluster.Member() {
		t.Error("a server without a listener is a member")
	}
}

func TestClusterProblems(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"{name: eu}":            "needs listen",
		"{name: eu, listen: x}": "must be host:port",
		"{listen: 127.0.0.1:1}": "needs a name",
		"{name: eu, listen: \":1\", tls: {ca: a, cert: b, key: c}}":                                          "needs advertise",
		"{name: eu, listen: \"[::]:1\", tls: {ca: a, cert: b, key: c}}":                                      "needs advertise",
		"{name: eu, listen: 10.0.0.1:1}":                                                                     "needs tls",
		"{name: eu, listen: 127.0.0.1:1, advertise: ts1:1}":                                                  "needs tls",
		"{name: eu, listen: 127.0.0.1:1, peers: [\"ts2:1\"]}":                                                "needs tls",
		"{name: eu, listen: 127.0.0.1:1, tls: {ca: a}}":                                                      "needs ca, cert and key",
		"{name: eu, listen: 127.0.0.1:1, max_clock_skew: 999ms}":                                             "must be at least 1s",
		"{name: eu, listen: 127.0.0.1:1, copies: 2}":                                                         "must be at least 3",
		"{name: eu, listen: 127.0.0.1:1, reserve: 1XB}":                                                      "must be a number of bytes, such as 1GiB or 500MiB",
		"{name: eu, listen: 127.0.0.1:1, reserve: 9000000000GiB}":                                            "must be a number of bytes",
		"{name: eu, listen: 127.0.0.1:1, heartbeat: 499ms}":                                                  "must lie between 500ms and 10s",
		"{name: eu, listen: 127.0.0.1:1, log: etcd}":                                                         "raft or kafka",
		"{name: eu, listen: 127.0.0.1:1, log: kafka}":                                                        "needs kafka",
		"{name: eu, listen: 127.0.0.1:1, kafka: {topic: t}}":                                                 "log: kafka",
		"{name: eu, listen: 127.0.0.1:1, log: kafka, kafka: {url: a, url_env: B}}":                           "needs one of",
		"{name: eu, listen: 127.0.0.1:1, log: kafka, kafka: {url: a, user: b}}":                              "needs a password",
		"{name: eu, listen: 127.0.0.1:1, log: kafka, kafka: {url: \"kafka://k\"}, peers: [\"127.0.0.1:1\"]}": "peers",
	} {
		_, err := Parse("t.yaml", []byte("cluster: "+src+"\n"+minimal), Flags{}, env)
		if wrong := InvalidError(nil); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("cluster: %s: got %v, want %q", src, err, want)
		}
	}
}

// A limit can be shared among the servers of a cluster. Nobody else can share
// it.
func TestSharedLimits(t *testing.T) {
	t.Parallel()
	const cluster = "cluster: {name: eu, listen: 127.0.0.1:1}\n"
	limit := func(shared string) string {
		return "limits: [{name: track, paths: [/track/], limit: 6000, window: 60s, shared: " + shared + "}]\n" + minimal
	}
	if got := mustParse(t, cluster+limit("true"), Flags{}).Policies[0]; !got.Shared {
		t.Errorf("got %+v, want a shared limit", got)
	}
	mustParse(t, limit("false"), Flags{})
	for src, want := range map[string]string{
		limit("true"):             "limits[0].shared true: needs a cluster",
		cluster + limit("strict"): `limits[0].shared "strict": must be true or false`,
	} {
		if _, err := Parse("t.yaml", []byte(src), Flags{}, env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
