package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/prereq"
)

// otherSDK is an SDK of another product, in a program that sends an identify
// and some events of type step, numbered from 0, and between them an event that
// the server refuses. The program prints how many of them the SDK gave up.
type otherSDK struct {
	name    string
	product string // the directory of the program, and the prerequisite
	command []string
	gives   bool // the SDK gives a message up at the first failure, as its documentation says
	bad     int  // status of a call that is refused as a whole; 0: it sends batches
}

var otherSDKs = []otherSDK{
	{name: "@segment/analytics-node", product: prereq.Segment, command: []string{"node", "segment.mjs"}},
	{name: "@rudderstack/rudder-sdk-node", product: prereq.Segment, command: []string{"node", "rudder.mjs"}},
	{name: "@jitsu/js", product: prereq.Segment, command: []string{"node", "jitsu.mjs"}, gives: true, bad: http.StatusBadRequest},
	{name: "segment-analytics-python", product: prereq.Segment, command: []string{".venv/bin/python", "segment_sdk.py"}},
	{name: "rudder-sdk-python", product: prereq.Segment, command: []string{".venv/bin/python", "rudder_sdk.py"}},
	{name: "analytics-go", product: prereq.Segment, command: []string{"go/client"}},
	{name: "com.segment.analytics.java", product: prereq.Segment, command: java("JavaSdk")},
	{name: "com.segment.analytics.kotlin", product: prereq.Segment, command: java("KotlinSdk")},
}

// java returns the command that runs a program for Java, with little memory.
func java(program string) []string {
	return []string{"java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", "java/classes:java/lib/*", program}
}

// installed are the files that say that the SDKs of a language are installed,
// by the command that runs their programs.
var installed = map[string]string{"node": "node_modules/.installed", "java": "java/.installed"}

// fewCalls makes an SDK that sends a batch after the other exceed the limit.
const fewCalls = `
limits:
  - {name: track, paths: [/track/], limit: 4, window: 2s, per: ip, allow_below_floor: true}
`

const steps = 24

// TestSDKs runs the SDKs of other products, unmodified, against the server.
// Each has to cope with a lost answer, a server without room, a limit that it
// exceeds, and a server that is killed and started again. Each message is
// stored exactly once.
func TestSDKs(t *testing.T) {
	t.Parallel()
	for _, c := range otherSDKs {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, limits := t.TempDir(), fewCalls
			if c.gives {
				limits = wideLimits
			}
			r := &rough{t: t, dir: dir, server: startIn(t, dir, baseConfig+limits), calm: c.gives}
			front := httptest.NewServer(r)
			defer front.Close()
			if out := strings.TrimSpace(c.run(t, front.URL, publicKey, strconv.Itoa(steps))); out != "failed: 0" {
				t.Errorf("the SDK says %q", out)
			}
			front.Close() // what the SDK did not wait for is over, too
			if !r.calm && r.stage != calmAgain {
				t.Errorf("only %d of the things that should go wrong did", r.stage)
			}
			if c.bad != 0 && r.statuses[c.bad] == 0 {
				t.Errorf("nothing was answered %d: %v", c.bad, r.statuses)
			}
			r.server.mustHoldSteps(t)
		})
	}
}

// run runs the program of an SDK and returns its output.
func (c *otherSDK) run(t *testing.T, args ...string) string {
	t.Helper()
	dir := filepath.Join("testdata", c.product)
	path := c.command[0]
	file, onPath := installed[path]
	if !onPath {
		file = path
	}
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		prereq.Missing(t, c.product, "run `make test-clients`: "+err.Error())
	}
	if !onPath {
		var err error
		if path, err = filepath.Abs(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience) // the SDK for Java may wait for minutes
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append(c.command[1:len(c.command):len(c.command)], args...)...)
	cmd.Dir = dir
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v, %s%s", c.name, err, out, errors.String())
	}
	return string(out)
}

// mustHoldSteps checks that the customer of the programs has each step once,
// and what its identify said.
func (s *server) mustHoldSteps(t *testing.T) {
	t.Helper()
	status, answer := ask(t, "http://"+s.public+"/data/v2/projects/"+projectToken+"/customers/export-one", `{"customer_ids":{"registered":"jane@example.com"}}`)
	var got struct {
		IDs        map[string]any
		Properties map[string]any
		Events     []struct {
			Type       string
			Properties struct {
				N         *int
				MessageID string `json:"message_id"`
			}
		}
	}
	if err := json.Unmarshal(answer, &got); err != nil || status != http.StatusOK {
		t.Fatalf("got %d %s: %v", status, answer, err)
	}
	count := make([]int, steps)
	for _, e := range got.Events {
		if e.Type != "step" || e.Properties.N == nil || e.Properties.MessageID == "" {
			t.Errorf("it holds %+v", e)
			continue
		}
		count[*e.Properties.N]++
	}
	for n, times := range count {
		if times != 1 {
			t.Errorf("step %d is stored %d times", n, times)
		}
	}
	if diff := cmp.Diff(map[string]any{"plan": "pro"}, got.Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	if cookies := fmt.Sprint(got.IDs["cookie"]); cookies != "[a-1]" {
		t.Errorf("it has the cookies %s", cookies)
	}
}

// ask sends a question with a private key.
func ask(t *testing.T, url, body string) (status int, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(privateID, secretKey)
	resp, err := web.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// rough stands between an SDK and the server. It passes on one call at a time,
// and lets go wrong what can.
type rough struct {
	t    *testing.T
	dir  string
	calm bool // it only passes on

	mu       sync.Mutex // guards what follows
	server   *server
	stage    stage
	below    int         // calls below the limit, when they should be over it
	statuses map[int]int // that the SDK got
}

// stage is what goes wrong next.
type stage int

const (
	lostAnswer stage = iota
	noRoom
	overLimit // the limiter is to refuse a call; until then all is well
	killed    // after a call that was carried out
	calmAgain
)

// fastEnough is how many calls an SDK has to exceed the limit. On a slow
// machine it does not. Then others use the limit up.
const fastEnough = 6

func (r *rough) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the SDK went away
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.statuses == nil {
		r.statuses = make(map[int]int)
	}
	if r.stage == noRoom && !r.calm {
		r.stage = overLimit
		w.Header().Set("Retry-After", "1")
		r.answer(w, http.StatusServiceUnavailable, []byte(`{"success":false,"error":"The server has no room for this request at the moment. Try again."}`))
		return
	}
	if r.stage == overLimit && req.Method == http.MethodPost && !r.calm {
		if r.below++; r.below > fastEnough {
			r.server.useUpLimit(r.t.Context())
		}
	}
	status, retryAfter, answer, err := r.pass(req, body)
	if err != nil {
		r.t.Errorf("no answer: %v", err)
		panic(http.ErrAbortHandler)
	}
	good := status == http.StatusOK
	switch {
	case r.calm, req.Method != http.MethodPost: // such as a question for the settings
	case r.stage == lostAnswer && good:
		r.stage = noRoom
		panic(http.ErrAbortHandler) // the call was carried out
	case r.stage == overLimit && status == http.StatusTooManyRequests:
		r.stage = killed
	case r.stage == killed && good:
		r.stage = calmAgain
		r.server.kill(r.t)
		r.server = startIn(r.t, r.dir, baseConfig+fewCalls)
		panic(http.ErrAbortHandler)
	}
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	r.answer(w, status, answer)
}

func (r *rough) answer(w http.ResponseWriter, status int, body []byte) {
	r.statuses[status]++
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// pass passes a call on to the server, through the contract.
func (r *rough) pass(req *http.Request, body []byte) (status int, retryAfter string, answer []byte, err error) {
	out, err := http.NewRequestWithContext(r.t.Context(), req.Method, "http://"+r.server.public+req.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	out.Header = req.Header.Clone()
	out.Host = req.Host // the settings name it
	resp, err := contract.RoundTrip(out)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("Retry-After"), answer, err
}
