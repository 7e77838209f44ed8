package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trackway/client"
	"trackway/internal/sleep"
)

// TestClusterPassedOn: a server whose disk is nearly full gets no more of the
// log. Clients that read there, and have seen more, get what the leader has.
// Their calls count where they came.
func TestClusterPassedOn(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 3)
	c.settings = ", reserve: 64MiB"
	c.limits = "limits:\n" +
		"  - {name: track, paths: [/track/], limit: 4000000, window: 60s, per: ip}\n" +
		"  - {name: api, paths: [/api/projects/, /data/], limit: 100, window: 600s, per: ip}\n" +
		"  - {name: other, paths: [/api/], limit: 4000000, window: 60s, per: ip}\n" +
		"  - {name: grid, paths: [/grid/], limit: 50, window: 600s, per: ip}\n"
	smallDisk(t, c.dirs[0], 256)
	c.begin()
	behind := c.servers[0]
	behind.log.mayHold("this server takes no commands")
	fill(t, filepath.Join(c.dirs[0], "filler"), 60<<20)
	behind.awaitLine(t, clusterLine("disk_low", *clusterPartitions-1, 1))
	for deadline := time.Now().Add(patience); c.leader() == 0; _ = sleep.For(t.Context(), lookAgain) {
		if time.Now().After(deadline) {
			t.Fatal("it still leads")
		}
	}
	const visits = 300
	var wrote response
	for n := range visits {
		if wrote = c.servers[1+n%2].again(t, visitOf(t, n)); !wrote.success() {
			t.Fatal(wrote)
		}
	}
	position := map[string]string{"Trackway-Position": wrote.header.Get("Trackway-Position")}
	const path = "/api/projects/{token}/customers/registered=person-1/events?rows=1000"
	if got := strings.Count(string(behind.do(t, request{path: path}).body), `"visit"`); got == visits {
		t.Fatal("it has everything, so the test shows nothing")
	}
	began := time.Now()
	got := behind.do(t, request{path: path, header: position})
	if n := strings.Count(string(got.body), `"visit"`); n != visits {
		t.Errorf("got %d events, want %d: %d %.300s", n, visits, got.status, got.body)
	}
	t.Logf("answered after %v", time.Since(began))
	if left := got.header["X-Ratelimit-Remaining"]; fmt.Sprint(left) != "[98]" {
		t.Errorf("of 100 calls, %v are left after 2", left)
	}
	if again := behind.do(t, request{path: path, header: map[string]string{"If-None-Match": got.header.Get("ETag")}}); again.status != http.StatusNotModified {
		t.Errorf("got %d for the tag of the leader", again.status)
	}
	if n := strings.Count(string(behind.do(t, request{path: path + "&consistency=strong"}).body), `"visit"`); n != visits {
		t.Errorf("a strong reader sees %d events", n)
	}
	for _, unknown := range []string{fmt.Sprintf("%d.99999999", *clusterPartitions-1), "7.1"} {
		if got := behind.do(t, request{path: path, header: map[string]string{"Trackway-Position": unknown}}); got.status != http.StatusBadRequest {
			t.Errorf("position %s: got %d %s", unknown, got.status, got.body)
		}
	}
	reader := sdk(t, "http://"+behind.public, func(o *client.Options) { o.Token, o.KeyID, o.Secret = "", privateID, secretKey })
	if err := reader.After(position["Trackway-Position"]); err != nil {
		t.Fatal(err)
	}
	var events struct{ Data []json.RawMessage }
	question := map[string]any{"customer_ids": map[string]any{"registered": "person-1"}, "event_types": []string{"visit"}}
	if err := reader.Read(t.Context(), "customers/events", question, &events); err != nil || len(events.Data) != visits {
		t.Errorf("the SDK reads %d events, %v", len(events.Data), err)
	}
	if err := reader.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
