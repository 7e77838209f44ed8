package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"trackway/client"
	"trackway/internal/prereq"
	"trackway/internal/scale"
	"trackway/internal/sleep"
)

// TestClusterSDKs: a program that writes through one server of a cluster, and
// hands its position to one that reads at another, always sees what it has
// written. A server that reads is killed and started again, then one that
// writes.
func TestClusterSDKs(t *testing.T) { //nolint:tparallel // one after another: each kills servers
	t.Parallel()
	c := newCluster(t, 3)
	rounds := scale.Of(1000, 40)
	for _, sdk := range []struct {
		name string
		run  func(t *testing.T, writers, readers []string, rounds int, each func(n int))
	}{
		{"go", positionsInGo},
		{"js", func(t *testing.T, writers, readers []string, rounds int, each func(n int)) {
			t.Helper()
			built, err := filepath.Abs("../../js/dist/node.js")
			if err == nil {
				_, err = os.Stat(built)
			}
			if err != nil {
				prereq.Missing(t, prereq.Browsers, "run `make js`: "+err.Error())
			}
			positionsIn(t, []string{"node", "testdata/positions/positions.mjs", built}, writers, readers, rounds, each)
		}},
		{"python", func(t *testing.T, writers, readers []string, rounds int, each func(n int)) {
			t.Helper()
			if _, err := exec.LookPath("python3"); err != nil {
				prereq.Missing(t, prereq.Python, err.Error())
			}
			positionsIn(t, []string{"python3", "-B", "testdata/positions/positions.py", "../../python"}, writers, readers, rounds, each)
		}},
	} {
		t.Run(sdk.name, func(t *testing.T) {
			var urls []string
			for _, address := range c.public {
				urls = append(urls, "http://"+address)
			}
			again := func(i int) {
				c.start(i)
				c.servers[i].awaitReady(t)
			}
			sdk.run(t, []string{urls[0], urls[2]}, []string{urls[1], urls[2]}, rounds, func(n int) {
				switch n {
				case rounds / 4:
					c.servers[1].kill(t)
				case rounds / 2:
					again(1)
				case 3 * rounds / 4:
					c.servers[0].kill(t)
				}
			})
			again(0)
		})
	}
}

// positionsIn runs a program that does the rounds, and calls each after each of
// them.
func positionsIn(t *testing.T, command, writers, readers []string, rounds int, each func(n int)) {
	t.Helper()
	given, err := json.Marshal(map[string]any{
		"project": projectToken, "id": privateID, "secret": secretKey, "writers": writers, "readers": readers, "rounds": rounds,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], string(given))...)
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if done, err = strconv.Atoi(lines.Text()); err != nil {
			t.Error(err)
		}
		each(done)
	}
	if err := cmd.Wait(); err != nil || done != rounds {
		t.Fatalf("after %d of %d rounds: %v\n%s", done, rounds, err, errors.String())
	}
}

func positionsInGo(t *testing.T, writers, readers []string, rounds int, each func(n int)) {
	t.Helper()
	open := func(urls []string) *client.Client {
		return sdk(t, urls[0], func(o *client.Options) {
			o.URL, o.URLs, o.Token, o.KeyID, o.Secret = "", slices.Clone(urls), "", privateID, secretKey
		})
	}
	writer, reader := open(writers), open(readers)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	ids := client.IDs{"registered": "person-go"}
	for n := 1; n <= rounds; n++ {
		if err := writer.Update(ids, client.Properties{"n": n}); err != nil {
			t.Fatal(err)
		}
		if err := writer.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := reader.After(writer.Position()); err != nil {
			t.Fatal(err)
		}
		question := map[string]any{"customer_ids": ids, "attributes": []any{map[string]any{"type": "property", "property": "n"}}}
		var got struct{ Results []struct{ Value int } }
		if err := reader.Read(ctx, "customers/attributes", question, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Results) != 1 || got.Results[0].Value != n {
			t.Fatalf("round %d: read %v at %s, written at %s, position %s", n, got, reader.Server(), writer.Server(), writer.Position())
		}
		each(n)
	}
	for _, c := range []*client.Client{writer, reader} {
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// TestClusterServers: each server lists the members of its cluster without
// being told, and marks one that is down.
func TestClusterServers(t *testing.T) {
	t.Parallel()
	listMembers(t, newCluster(t, 3))
}

// listMembers has the servers list each other, with the last one up and down.
func listMembers(t *testing.T, c *cluster) {
	t.Helper()
	want := func(down int) {
		t.Helper()
		wanted := make(map[string]string)
		for i, address := range c.public {
			wanted["http://"+address] = "up"
			if i == down {
				wanted["http://"+address] = "down"
			}
		}
		for i, s := range c.servers {
			if i == down {
				continue
			}
			var got map[string]string
			for end := time.Now().Add(patience); fmt.Sprint(got) != fmt.Sprint(wanted); _ = sleep.For(t.Context(), lookAgain) {
				var list struct {
					Servers []struct{ URL, State string }
				}
				if err := json.Unmarshal(s.do(t, request{path: "/api/servers"}).body, &list); err != nil {
					t.Fatal(err)
				}
				got = make(map[string]string)
				for _, one := range list.Servers {
					got[one.URL] = one.State
				}
				if time.Now().After(end) {
					t.Fatalf("server %d lists %v, want %v", i, got, wanted)
				}
			}
		}
	}
	want(-1)
	last := len(c.servers) - 1
	c.servers[last].kill(t)
	want(last)
}

// TestClusterTags: all servers of a cluster give the same tag to the same data,
// and never to other data. A server that lacks what the tag of another one
// names waits for it.
func TestClusterTags(t *testing.T) {
	t.Parallel()
	compareTags(t, newCluster(t, 3))
}

func compareTags(t *testing.T, c *cluster) {
	t.Helper()
	all := len(c.servers)
	paths := []string{
		"/api/projects/{token}/customers/registered=person-1", "/api/projects/{token}/customers/registered=person-1/events",
		"/api/projects/{token}/events", "/api/projects/{token}/stats",
	}
	type known struct{ tag, body string }
	seen := make(map[string]map[string]string) // by path, what a tag stands for
	for n := range scale.Of(100, 20) {
		if got := c.servers[n%all].again(t, visitOf(t, n)); !got.success() {
			t.Fatal(got)
		}
		for i, path := range paths {
			var first known
			for k := range all {
				s := c.servers[(n+k)%all]
				header := map[string]string{}
				if k > 0 && i == n%len(paths) { // at once: it may lack the event
					header["If-None-Match"] = first.tag
				} else if k > 0 {
					header["Trackway-Position"] = strings.Trim(first.tag[:strings.Index(first.tag, "-")], `"`)
				}
				got := s.do(t, request{path: path, header: header})
				tag := got.header.Get("ETag")
				switch {
				case header["If-None-Match"] != "":
					if got.status != http.StatusNotModified || tag != first.tag {
						t.Errorf("%s: got %d, tag %s, want 304 for %s", path, got.status, tag, first.tag)
					}
					continue
				case k == 0:
					first = known{tag, string(got.body)}
				}
				if tag != first.tag || string(got.body) != first.body {
					t.Errorf("%s: got tag %s of %s, want %s of %s", path, tag, got.body, first.tag, first.body)
				}
				if seen[path] == nil {
					seen[path] = make(map[string]string)
				}
				if before, ok := seen[path][tag]; ok && before != string(got.body) {
					t.Errorf("%s: tag %s stands for %s and %s", path, tag, before, got.body)
				}
				seen[path][tag] = string(got.body)
			}
		}
	}
}
