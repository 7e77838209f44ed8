package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/alarm"
	"trackway/internal/config/alarming"
	"trackway/internal/destination/webhook"
)

const secret = "whsec_c2VjcmV0LW9mLXRoZS1ob29rLWluLXRlc3Rz"

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func ringing(subject string) alarm.Notice {
	return alarm.Notice{ID: subject, State: alarm.Rings, Kind: "silence", Subject: subject, Text: "Nothing came.", Since: noon}
}

func message(notices ...alarm.Notice) *Message {
	return &Message{Server: "ts1", At: noon, Notices: notices}
}

// hook is a receiver of webhooks that keeps what it got.
type hook struct {
	*httptest.Server

	mu     sync.Mutex
	got    []string
	header http.Header
	answer func(w http.ResponseWriter) // nil: 204
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got, h.header = append(h.got, string(body)), r.Header
		if h.answer != nil {
			h.answer(w)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) receiver(kind string) *alarming.Receiver {
	return &alarming.Receiver{Name: "r", Kind: kind, URL: h.URL + "/T0/secret-path", Secret: secret, Allow: []string{"127.0.0.1"}}
}

func send(t *testing.T, r *alarming.Receiver, m *Message) error {
	t.Helper()
	w, err := open(r)
	if err != nil {
		t.Fatal(err)
	}
	return w.send(t.Context(), m)
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	m := message(ringing("shop"))
	if err := send(t, h.receiver(alarming.Webhook), m); err != nil {
		t.Fatal(err)
	}
	const want = `"data":{"server":"ts1","summary":"[Trackway ts1] Silence: shop","left_out":0,"alarms":[{"id":"shop","state":"ringing","kind":"silence","subject":"shop","text":"Nothing came.","since":"2026-11-29T12:00:00Z","headline":"Silence: shop"}]}`
	if !strings.HasPrefix(h.got[0], `{"type":"trackway.alarms",`) || !strings.Contains(h.got[0], want) {
		t.Errorf("got %s", h.got[0])
	}
	keys, _ := webhook.ReadSecrets(secret)
	id, at := h.header.Get("Webhook-Id"), h.header.Get("Webhook-Timestamp")
	if h.header.Get("Webhook-Signature") != webhook.Sign(keys, id, at, []byte(h.got[0])) {
		t.Error("the signature is wrong")
	}
	if err := send(t, h.receiver(alarming.Webhook), m); err != nil || h.header.Get("Webhook-Id") != id {
		t.Errorf("a repetition has another id: %v", err)
	}
}

// Names of clients are text for Slack and Teams, and no link or mention.
func TestChats(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	m := message(ringing("shop / <!channel> <https://evil.example|here> *b*"), ringing("other"))
	for _, kind := range []string{alarming.Slack, alarming.Teams} {
		if err := send(t, h.receiver(kind), m); err != nil {
			t.Fatal(err)
		}
	}
	var slack struct {
		Text   string
		Mrkdwn *bool
	}
	if err := json.Unmarshal([]byte(h.got[0]), &slack); err != nil || slack.Mrkdwn == nil || *slack.Mrkdwn || strings.ContainsAny(slack.Text, "<>") ||
		!strings.HasPrefix(slack.Text, "[Trackway ts1] 2 alarms ring\n") {
		t.Errorf("got %s, %v", h.got[0], err)
	}
	var teams struct {
		Type        string
		Attachments []struct {
			ContentType string
			Content     struct {
				Type string
				Body []struct {
					Type    string
					Inlines []struct{ Type, Text string }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(h.got[1]), &teams); err != nil || teams.Type != "message" || len(teams.Attachments) != 1 || len(teams.Attachments[0].Content.Body) != 3 {
		t.Fatalf("got %s, %v", h.got[1], err)
	}
	for _, b := range teams.Attachments[0].Content.Body {
		if b.Type != "RichTextBlock" || len(b.Inlines) != 1 || b.Inlines[0].Type != "TextRun" {
			t.Errorf("got %+v, want text without markup", b)
		}
	}
}

// Errors of receivers are clear, and say nothing about where they are.
func TestWebhookErrors(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	for status, want := range map[int]string{
		http.StatusInternalServerError: "the receiver answers 500", http.StatusForbidden: "is the secret or the URL right?", http.StatusNotFound: "is the URL right?",
		http.StatusMovedPermanently: "redirects are not followed", http.StatusTooManyRequests: "the receiver answers 429",
	} {
		h.answer = func(w http.ResponseWriter) { w.Header().Set("Retry-After", "7"); w.WriteHeader(status) }
		err := send(t, h.receiver(alarming.Slack), message(ringing("shop")))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret-path") || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%d: got %v, want %s", status, err, want)
		}
		if w, ok := err.(*waitError); status == http.StatusTooManyRequests && (!ok || w.after != 7*time.Second) { //nolint:errorlint // it is not wrapped
			t.Errorf("got %v, want that it asks for 7 s", err)
		}
	}
	private := h.receiver(alarming.Slack)
	private.Allow = nil
	if err := send(t, private, message(ringing("shop"))); err == nil || !strings.Contains(err.Error(), "not a public address") {
		t.Errorf("got %v", err)
	}
	var problems []string
	Check([]alarming.Receiver{{Kind: alarming.Slack, URL: "ftp://x/secret-path"}, {}, {Kind: alarming.Webhook, URL: "https://x", Secret: "whsec_!"}}, func(i int, err error) {
		problems = append(problems, fmt.Sprint(i, " ", err))
	})
	if got := strings.Join(problems, "; "); !strings.HasPrefix(got, "0 the URL must begin") || !strings.Contains(got, "; 2 what follows whsec_") || strings.Contains(got, "secret-path") {
		t.Errorf("got %s", got)
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	storm := message()
	for i := range 120 {
		storm.Notices = append(storm.Notices, ringing(strconv.Itoa(i)))
	}
	storm.Notices[0].State = alarm.Ended
	storm.LeftOut = 3
	if got := storm.headline(); got != "[Trackway ts1] 119 alarms ring, 1 have ended" {
		t.Errorf("got %q", got)
	}
	lines := storm.lines()
	if len(lines) != mostLines+2 || !strings.HasPrefix(lines[0], "3 older messages were left out") || !strings.HasPrefix(lines[len(lines)-1], "And 70 more") {
		t.Errorf("got %d lines: %q … %q", len(lines), lines[0], lines[len(lines)-1])
	}
	evil := message(ringing("a\r\nBcc: x@y.z\x1b" + strings.Repeat("long", 100)))
	if got := evil.headline(); strings.ContainsAny(got, "\r\n\x1b") || len(got) > mostHeadline+len("…") {
		t.Errorf("got %q", got)
	}
}

// Strangers choose the names of types: what they send makes no text too long
// for a receiver, hides nothing else, and is no link.
func TestHostileTypes(t *testing.T) {
	t.Parallel()
	storm := message()
	for i := range 200 {
		n := ringing(strings.Repeat("<", 80) + strconv.Itoa(i))
		n.Text = "Project shop got 0 events of type " + n.Subject
		storm.Notices = append(storm.Notices, n)
	}
	storm.Notices[150] = alarm.Notice{ID: "disk", State: alarm.Rings, Kind: alarming.DiskFull, Text: "The disk is full."}
	const most = 28 << 10 // of Teams
	for _, body := range []any{teamsOf(storm), slackOf(storm)} {
		text, err := json.Marshal(body)
		if err != nil || len(text) > most || !strings.Contains(string(text), "Disk full. The disk is full.") {
			t.Errorf("got %d bytes, %v: %s", len(text), err, text)
		}
	}
	lines := storm.lines()
	if last := lines[len(lines)-1]; last != fmt.Sprintf("And %d more: trackway alarms list shows them.", 200-len(lines)+1) {
		t.Errorf("got %q after %d", last, len(lines)-1)
	}
	for _, link := range []string{"https://evil.example/login", "www.evil.example"} {
		m := message(ringing("shop / " + link))
		if text := m.headline() + strings.Join(m.lines(), ""); strings.Contains(text, link) {
			t.Errorf("got a link: %s", text)
		}
	}
	if text, err := json.Marshal(slackOf(storm)); err != nil || !strings.Contains(string(text), `"parse":"none"`) {
		t.Errorf("got %s, %v", text, err)
	}
}

// fakeWay is a way that fails when it is told to.
type fakeWay struct {
	mu   sync.Mutex
	sent []int // notices in each message
	at   []time.Time
	err  error
	slow time.Duration
}

func (f *fakeWay) send(ctx context.Context, m *Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.slow > 0 {
		select {
		case <-time.After(f.slow):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if f.err == nil {
		f.sent, f.at = append(f.sent, len(m.Notices)), append(f.at, time.Now())
	}
	return f.err
}

// fixture is a sender with two receivers, one of which may fail.
func fixture(t *testing.T) (s *Sender, book *alarm.Book, one, two *fakeWay) {
	t.Helper()
	book, err := alarm.Open(filepath.Join(t.TempDir(), alarm.File), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s = New(book, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	one, two = &fakeWay{}, &fakeWay{}
	s.lines = []*line{{Receiver: alarming.Receiver{Name: "one"}, way: one}, {Receiver: alarming.Receiver{Name: "two"}, way: two}}
	return s, book, one, two
}

func post(book *alarm.Book, from, to int) {
	for i := from; i < to; i++ {
		n := ringing(strconv.Itoa(i))
		book.Post(&n, []string{"one", "two"})
	}
}

// A storm is summed up, and no receiver gets more than its messages an hour.
// Nothing waits for much longer than ten minutes.
func TestStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, book, one, _ := fixture(t)
		go func() { _ = s.Run(t.Context()) }()
		for i := range 90 { // three an hour more than the bound, and then some
			post(book, i, i+1)
			pass(time.Minute)
		}
		pass(2 * time.Hour)
		total := 0
		for i, n := range one.sent {
			total += n
			if i >= mostAnHour && one.at[i].Sub(one.at[i-mostAnHour]) < time.Hour {
				t.Errorf("more than %d messages within an hour, until %v", mostAnHour, one.at[i])
			}
			if i > 0 && one.at[i].Sub(one.at[i-1]) > 11*time.Minute {
				t.Errorf("nothing was sent until %v, since %v", one.at[i], one.at[i-1])
			}
		}
		if total != 90 || len(one.sent) > 20 {
			t.Errorf("got messages with %v notices, want 90 in all", one.sent)
		}
	})
}

// A receiver that is down is tried again, ever more slowly, and delays no
// other. Then it gets everything in one message, once.
func TestDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, book, one, two := fixture(t)
		two.err = &waitError{errors.New("busy"), 20 * time.Minute}
		go func() { _ = s.Run(t.Context()) }()
		post(book, 0, 3)
		pass(5 * time.Second)
		if len(one.sent) != 1 || one.sent[0] != 3 {
			t.Errorf("got %v, want one message about three", one.sent)
		}
		if _, failure, problem := s.Told("two"); failure.IsZero() || problem != "busy" {
			t.Errorf("got %v, %q", failure, problem)
		}
		two.mu.Lock()
		two.err = nil
		two.mu.Unlock()
		pass(19 * time.Minute)
		if len(two.sent) != 0 {
			t.Errorf("got %v, want that it waits as it was asked to", two.sent)
		}
		post(book, 3, 4)
		pass(2 * time.Minute)
		pass(time.Hour)
		if len(two.sent) != 1 || two.sent[0] != 4 {
			t.Errorf("got %v, want one message about four", two.sent)
		}
		if success, _, problem := s.Told("two"); success.IsZero() || problem != "" {
			t.Errorf("got %v, %q", success, problem)
		}
	})
}

// An attempt does not take for ever, and a stop does not wait for it.
func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, book, one, two := fixture(t)
		one.slow = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Run(ctx) }()
		post(book, 0, 1)
		pass(6 * time.Minute)
		if _, _, problem := s.Told("one"); problem != "no answer within 5m30s" || len(two.sent) != 1 {
			t.Errorf("got %q, and %v for the other", problem, two.sent)
		}
		cancel()
		<-done
		if notices, _, _ := book.Pending("one"); len(notices) != 1 {
			t.Errorf("got %v, want that it is told after a restart", notices)
		}
	})
}

// A trial says what each receiver says, and is no alarm.
func TestTry(t *testing.T) {
	t.Parallel()
	good, bad := newHook(t), newHook(t)
	bad.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }
	s, book, _, _ := fixture(t)
	a, b := *good.receiver(alarming.Webhook), *bad.receiver(alarming.Slack)
	a.Name, b.Name = "a", "b"
	use, err := s.Prepare("ts1", []alarming.Receiver{a, b})
	if err != nil {
		t.Fatal(err)
	}
	use()
	results, known := s.Try(t.Context(), nil)
	if !known || len(results) != 2 || results[0] != (Tried{"a", alarming.Webhook, ""}) || results[1] != (Tried{"b", alarming.Slack, "the receiver answers 502"}) {
		t.Errorf("got %+v", results)
	}
	text := (&Message{Trial: true, Notices: []alarm.Notice{{State: alarm.Ended, Kind: trial, Text: "This is a trial."}}}).lines()
	if len(text) != 1 || text[0] != "Trial. This is a trial." {
		t.Errorf("got %q, which says that something has ended", text)
	}
	if !strings.Contains(good.got[0], `"type":"trackway.alarms.trial"`) || !strings.Contains(good.got[0], "This is a trial.") {
		t.Errorf("got %s", good.got[0])
	}
	if results, known = s.Try(t.Context(), []string{"b"}); !known || len(results) != 1 {
		t.Errorf("got %+v", results)
	}
	if _, known = s.Try(t.Context(), []string{"c"}); known {
		t.Error("there is no receiver c")
	}
	if notices, _, _ := book.Pending("a"); len(notices) != 0 {
		t.Errorf("got %v", notices)
	}
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// pass lets time pass, in a bubble of synctest.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
