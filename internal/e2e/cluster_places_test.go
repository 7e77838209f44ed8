package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trackway/internal/sleep"
)

// roamer sends to a project through all servers in turn, each request again
// until it is acknowledged.
type roamer struct {
	project int
	acked   []string
	count   atomic.Int64
}

func (r *roamer) run(ctx context.Context, t *testing.T, c *cluster) {
	t.Helper()
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprintf("roam-%d-%d", r.project, n)
		body := obj{"customer_ids": obj{"registered": fmt.Sprintf("person-%d", n%9)}, "event_type": "round", "timestamp": loadTime + float64(n)/8, "properties": obj{"name": name}}
		for try := 0; ; try++ {
			s := c.at((n + try) % len(c.servers))
			asking, cancel := context.WithTimeout(ctx, 20*time.Second)
			status, _, err := s.ask(asking, r.project, "/track/v2/projects/{token}/customers/events", body)
			cancel()
			if ctx.Err() != nil {
				return // nobody waits for it
			}
			if err == nil && status == http.StatusOK {
				break
			}
			if err == nil && status != http.StatusServiceUnavailable {
				t.Errorf("got status %d", status)
				return
			}
			time.Sleep(20 * time.Millisecond) //nolint:forbidigo // as a client that sends again
		}
		r.acked = append(r.acked, name)
		r.count.Add(1)
	}
}

var restarting sync.RWMutex

func (c *cluster) at(i int) *server {
	restarting.RLock()
	defer restarting.RUnlock()
	return c.servers[i]
}

// holders returns the servers that hold each partition, as a server says.
func (c *cluster) holders(at int) (holders [][]int) {
	c.t.Helper()
	var s struct {
		Partitions []struct {
			Members []struct {
				Address string
				Voter   bool
			}
		}
	}
	if err := json.Unmarshal(c.command(at, "status", "--json"), &s); err != nil {
		c.t.Fatal(err)
	}
	for _, p := range s.Partitions {
		var in []int
		for _, m := range p.Members {
			in = append(in, slices.Index(c.members, m.Address))
		}
		slices.Sort(in)
		holders = append(holders, in)
	}
	return holders
}

// awaitHolders waits until a server says that the holders are as they should
// be. It knows of partitions that it does not hold what the others have told,
// some seconds ago.
func (c *cluster) awaitHolders(at int, are func(holders [][]int) bool) (holders [][]int) {
	c.t.Helper()
	c.until(fmt.Sprintf("server %d knows who holds what", at), func() bool {
		holders = c.holders(at)
		return are(holders)
	})
	return holders
}

// onDisk returns the partitions whose data a server has.
func (c *cluster) onDisk(i int) (parts []int) {
	for part := range partitions {
		if _, err := os.Stat(filepath.Join(c.dirs[i], "data", fmt.Sprintf("p%02d", part), "state")); err == nil {
			parts = append(parts, part)
		}
	}
	return parts
}

// TestClusterPlaces: of five servers, three hold each partition. All of them
// take calls for all projects, while copies are moved under load and holders
// are killed. Everything that was acknowledged is there, once. Nothing is left
// of erased data where a copy was before.
func TestClusterPlaces(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 5)
	withPartitions(c, partitionSize)
	whole, sum := c.whole, sha256.Sum256([]byte(pagesPassword))
	c.whole = func() string { return whole() + "dashboard: {password_sha256: " + hex.EncodeToString(sum[:]) + "}\n" }
	c.begin()
	for i := range c.servers {
		if got := c.onDisk(i); i < 3 && len(got) != partitions || i >= 3 && !slices.Equal(got, []int{0}) {
			t.Errorf("server %d holds %v", i, got)
		}
	}
	var roamers []*roamer
	for i := range partitionSize {
		roamers = append(roamers, &roamer{project: i})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()
	loaded, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, r := range roamers {
		running.Go(func() { r.run(loaded, t, c) })
	}
	more := func(n int64) {
		t.Helper()
		for _, r := range roamers {
			for want := r.count.Load() + n; r.count.Load() < want; time.Sleep(lookAgain) { //nolint:forbidigo // clients send at their own pace
				if ctx.Err() != nil {
					t.Fatalf("project %d: no acknowledgement\n%s", r.project, c.servers[3].log)
				}
			}
		}
	}
	more(20)
	plan := string(c.command(3, "rebalance", "--plan"))
	if !strings.Contains(plan, "add") || !strings.Contains(plan, "remove") {
		t.Errorf("the plan is\n%s", plan)
	}
	t.Logf("%s\n%s", plan, c.patiently(ctx, 3, "rebalance", "--yes"))
	more(20)
	holders := c.awaitHolders(0, func(all [][]int) bool {
		return len(all) == partitions && len(all[0]) == 5 && len(all[1]) == 3 && len(all[2]) == 3
	})
	for i := range c.servers {
		c.awaitHolders(i, func(all [][]int) bool { return fmt.Sprint(all) == fmt.Sprint(holders) })
		for part := range partitions {
			if slices.Contains(holders[part], i) != slices.Contains(c.onDisk(i), part) {
				t.Errorf("server %d has %v on its disk; the holders are %v", i, c.onDisk(i), holders)
			}
		}
	}
	for part := 1; part < partitions; part++ {
		victim := holders[part][part%3]
		restarting.Lock()
		c.servers[victim].kill(t)
		restarting.Unlock()
		more(20)
		restarting.Lock()
		c.start(victim)
		c.servers[victim].awaitReady(t) // it notes its address, which clients read
		restarting.Unlock()
	}
	more(20)
	stop()
	running.Wait()
	for i := range c.servers {
		for _, r := range roamers {
			r.check(t, c, i)
		}
	}
	checkPlacesAnswers(t, c)
	for i := range c.servers { // the pages show what each server has
		for _, r := range roamers {
			r.check(t, c, i)
		}
	}
	checkPlacesPages(t, c)
	checkPlacesErasure(t, c)
	checkPlacesRemove(t, c)
}

// patiently runs a command of the cluster that takes longer than others.
func (c *cluster) patiently(ctx context.Context, i int, args ...string) string {
	c.t.Helper()
	args = append(append([]string{"cluster"}, args...), "--config", c.config(i), "--data", filepath.Join(c.dirs[i], "data"))
	out, err := exec.CommandContext(ctx, binary(c.t), args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("trackway %q: %v\n%s\n%s", args, err, out, c.servers[i].log)
	}
	return string(out)
}

// asOwner is a request for a project, with its key.
func asOwner(project int, path, body string) request {
	r := request{path: strings.Replace(path, "{token}", partitionToken(project), 1), auth: "none"}
	r.header = map[string]string{"Authorization": basic("Basic", fmt.Sprint("key-", project), partitionSecret(project))}
	if body != "" {
		r.body = []byte(body)
	}
	return r
}

// check reads all events of a project at a server. Then the server has all that
// any of them has acknowledged before.
func (r *roamer) check(t *testing.T, c *cluster, at int) {
	t.Helper()
	stored := map[string]int{}
	cursor := ""
	for {
		path := "/api/projects/{token}/events?type=round&rows=500&consistency=strong"
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		res := c.servers[at].again(t, asOwner(r.project, path, ""))
		var page struct {
			Rows []struct{ Properties struct{ Name string } }
			Next *string
		}
		if json.Unmarshal(res.body, &page) != nil || res.status != http.StatusOK {
			t.Fatalf("got %v", res)
		}
		for _, row := range page.Rows {
			stored[row.Properties.Name]++
		}
		if page.Next == nil {
			break
		}
		cursor = *page.Next
	}
	for _, name := range r.acked {
		if stored[name] != 1 {
			t.Errorf("server %d, project %d: %s is there %d times", at, r.project, name, stored[name])
		}
		delete(stored, name)
	}
	if len(stored) > 1 { // the last request may have been broken off
		t.Errorf("server %d, project %d: nobody knows of %v", at, r.project, stored)
	}
}

// checkPlacesAnswers asks all servers the same. Those that hold the project and
// those that do not answer the same.
func checkPlacesAnswers(t *testing.T, c *cluster) {
	t.Helper()
	jane := `{"customer_ids": {"registered": "person-1"}`
	calls := 0
	for project := range partitionSize {
		for _, call := range []struct{ path, body string }{
			{"/api/projects/{token}/customers", ""},
			{"/api/projects/{token}/customers/registered=person-1", ""},
			{"/api/projects/{token}/customers/registered=person-1/events?rows=5", ""},
			{"/api/projects/{token}/customers/registered=nobody", ""},
			{"/api/projects/{token}/events?type=round&rows=20", ""},
			{"/api/projects/{token}/stats?interval=day&since=2023-01-01&until=2023-02-01", ""},
			{"/api/projects/{token}/usage", ""},
			{"/api/projects/{token}/erasures", ""},
			{"/api/projects/{token}/contracts", ""},
			{"/api/projects/{token}/events?rows=x", ""},
			{"/data/v2/projects/{token}/consent/categories", ""},
			{"/data/v2/projects/{token}/customers/export-one", jane + "}"},
			{"/data/v2/projects/{token}/customers/events", jane + `, "event_types": ["round"], "limit": 9}`},
			{"/data/v2/projects/{token}/customers/attributes", jane + `, "attributes": [{"type": "id", "id": "registered"}]}`},
			{"/data/v2/projects/{token}/customers/export", `{"format": "csv"}`},
			{"/data/v2/projects/{token}/customers/anonymize", `{"customer_ids": {"registered": "nobody"}}`},
			{"/track/v2/projects/{token}/customers", jane + `, "properties": {"plan": "gold"}}`},
			{"/track/v2/projects/{token}/batch", `{"commands": [{"name": "customers", "data": ` + jane + `, "properties": {"plan": "gold"}}}, {"name": "x"}]}`},
			{"/track/v2/projects/{token}/customers/events", jane + `}`},
		} {
			answers := map[string][]int{}
			times := regexp.MustCompile(`"(start|end)_time":[0-9.]+`)
			for i := range c.servers {
				res := c.servers[i].again(t, asOwner(project, call.path, call.body))
				if res.status >= http.StatusInternalServerError {
					t.Errorf("server %d, %s: got %v", i, call.path, res)
				}
				answer := fmt.Sprint(res.status, " ", res.header.Get("Content-Type"), " ", times.ReplaceAllString(string(res.body), ""))
				answers[answer] = append(answers[answer], i)
				calls++
			}
			if len(answers) != 1 {
				t.Errorf("project %d, %s: the servers answer %.2000s", project, call.path, fmt.Sprint(answers))
			}
		}
	}
	t.Logf("%d calls were answered in the same way", calls)
}

// checkPlacesPages asks the pages of all servers. Each shows all projects.
func checkPlacesPages(t *testing.T, c *cluster) {
	t.Helper()
	overviews, customers := map[string]bool{}, map[string]bool{}
	for i, s := range c.servers {
		cookie := s.signIn(t, pagesPassword)
		var start struct {
			Types map[string][]string `json:"types"`
		}
		if err := json.Unmarshal(s.grid(t, cookie, "start").body, &start); err != nil {
			t.Fatal(err)
		}
		for project := range partitionSize {
			if got := start.Types[partitionToken(project)]; !slices.Contains(got, "round") {
				t.Errorf("server %d, project %d: the types are %v", i, project, got)
			}
			res := s.grid(t, cookie, "customers?rows=5&project="+partitionToken(project))
			if res.status != http.StatusOK || !strings.Contains(string(res.body), "person-") {
				t.Errorf("server %d, project %d: got %v", i, project, res)
			}
			customers[fmt.Sprint(project, string(res.body))] = true
		}
		var overview struct{ Totals, Types any } // servers write the counts of refused commands later
		if err := json.Unmarshal(s.grid(t, cookie, "overview").body, &overview); err != nil {
			t.Fatal(err)
		}
		overviews[fmt.Sprint(overview)] = true
	}
	for i, s := range c.servers {
		messages := s.watch(t, s.signIn(t, pagesPassword), "", "")
		for project := range partitionSize {
			typ := fmt.Sprintf("seen-%d-%d", i, project)
			status, _, err := c.servers[(i+project)%5].askAgain(t, project, "/track/v2/projects/{token}/customers/events", obj{"customer_ids": obj{"registered": "watched"}, "event_type": typ})
			if err != nil || status != http.StatusOK {
				t.Fatal(status, err)
			}
			for m := next(t, messages); ; m = next(t, messages) { // after those from before
				if m.data["type"] == typ {
					if ids := fmt.Sprint(m.data["ids"]); m.data["project"] != partitionToken(project) || !strings.Contains(ids, "watched") {
						t.Errorf("server %d shows %v", i, m.data)
					}
					break
				}
			}
		}
	}
	if len(overviews) != 1 || len(customers) != partitionSize {
		t.Errorf("the servers show different things: %v, and %d lists of customers", overviews, len(customers))
	}
}

// checkPlacesErasure erases a customer through a server that does not hold the
// project. Nothing is left on any disk.
func checkPlacesErasure(t *testing.T, c *cluster) {
	t.Helper()
	const who = "nobody-knows-me"
	for project := range partitionSize {
		s := c.servers[project%len(c.servers)]
		name := fmt.Sprint(who, project, "x")
		status, _, err := s.askAgain(t, project, "/track/v2/projects/{token}/customers/events", obj{"customer_ids": obj{"registered": name}, "event_type": "secret", "properties": obj{"email": name}})
		if err != nil || status != http.StatusOK {
			t.Fatal(status, err)
		}
		status, answer, err := s.askAgain(t, project, "/data/v2/projects/{token}/customers/anonymize", obj{"customer_ids": obj{"registered": name}})
		if err != nil || status != http.StatusOK {
			t.Fatal(status, answer, err)
		}
	}
	deadline := time.Now().Add(2 * patience)
	for i := range c.servers {
		for ; ; time.Sleep(lookAgain) { //nolint:forbidigo // the servers decide when they have time for it
			found := containing(t, filepath.Join(c.dirs[i], "data"), who)
			if len(found) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("server %d has it in %v", i, found)
			}
		}
	}
}

// containing returns the files in a directory that have a text in them.
func containing(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil //nolint:nilerr // it has gone
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(text)) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// checkPlacesRemove removes a server. Another one gets a copy of its partitions
// by a rebalance.
func checkPlacesRemove(t *testing.T, c *cluster) {
	t.Helper()
	gone := c.holders(0)[1][0]
	at := (gone + 1) % 5
	out := string(c.command(at, "remove", c.members[gone]))
	if !strings.Contains(out, "Partition p01 has 2 copies left") {
		t.Errorf("got %s", out)
	}
	c.servers[gone].kill(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	c.patiently(ctx, at, "rebalance", "--yes")
	c.awaitHolders(at, func(all [][]int) bool {
		return len(all) == partitions && len(all[0]) == 4 && len(all[1]) == 3 && len(all[2]) == 3 &&
			!slices.ContainsFunc(all, func(in []int) bool { return slices.Contains(in, gone) })
	})
}

// TestClusterPlacesLimit: five servers admit the shared limit of a caller that
// makes ten times as many calls to all of them, also where some servers only
// pass them on. A call that was passed on counts once, and what was admitted is
// stored once. A busy server may answer the others too late: then the caller
// has to go on a little.
func TestClusterPlacesLimit(t *testing.T) {
	t.Parallel()
	const limit, least = 300, 300 * 98 / 100
	c := prepareCluster(t, 5)
	withPartitions(c, partitions)
	whole := c.whole
	c.whole = func() string { return strings.Replace(whole(), wideLimits, sharedLimit(limit, longWindow), 1) }
	c.begin()
	c.awaitSharing()
	var mu sync.Mutex
	roamers := make([]*roamer, partitions)
	for i := range roamers {
		roamers[i] = &roamer{project: i}
	}
	var next, admitted, again atomic.Int64
	var workers sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 48 {
		workers.Go(func() {
			for n := int(next.Add(1)); n <= 10*limit || ctx.Err() == nil && admitted.Load()+again.Load() < least; n = int(next.Add(1)) {
				r, name := roamers[n%partitions], fmt.Sprint("limited-", n)
				body := obj{"customer_ids": obj{"registered": "person-1"}, "event_type": "round", "timestamp": loadTime + float64(n)/8, "properties": obj{"name": name}}
				s := c.servers[n/partitions%len(c.servers)]
				status, answer, err := s.ask(t.Context(), r.project, "/track/v2/projects/{token}/customers/events", body)
				for err == nil && status == http.StatusServiceUnavailable && sleep.For(ctx, lookAgain) == nil {
					again.Add(1) // the call before may have counted
					status, answer, err = s.ask(t.Context(), r.project, "/track/v2/projects/{token}/customers/events", body)
				}
				switch {
				case err != nil || status != http.StatusOK && status != http.StatusTooManyRequests:
					t.Errorf("%s: got %d %v, %v", name, status, answer, err)
				case status == http.StatusOK:
					admitted.Add(1)
					mu.Lock()
					r.acked = append(r.acked, name)
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	for _, r := range roamers {
		r.check(t, c, 4)
	}
	if got := admitted.Load(); got > limit || got < least-again.Load() {
		t.Errorf("%d calls were admitted, want %d; %d were made again", got, limit, again.Load())
	}
	if held := c.onDisk(4); !slices.Equal(held, []int{0}) {
		t.Errorf("the last server holds %v, so it passed too little on", held)
	}
}
