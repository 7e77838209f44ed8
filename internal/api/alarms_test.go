package api

import (
	"net/http"
	"testing"
	"time"

	"trackway/internal/alarm"
)

// reported is a report with something in every list.
func reported(now time.Time) alarm.Report {
	at := now.UTC().Truncate(time.Second)
	row := alarm.Row{Kind: "silence", Subject: "demo / purchase", Headline: "Silence: demo / purchase", Text: "Nothing came.", Since: at, Rang: &at}
	ended := row
	ended.Ended = &at
	return alarm.Report{
		At: at, Ringing: []alarm.Row{row}, Waiting: []alarm.Row{}, Past: []alarm.Row{ended}, Zone: "Europe/Berlin", Leads: true,
		Rules:     []alarm.RuleRow{{Kind: "disk_full", Watch: "the server", Rings: "the store has no room"}},
		Receivers: []alarm.ReceiverRow{{Name: "ops", Kind: "mail", Pending: 1, Failed: &at, Error: "the connection was refused"}},
		Gaps:      []alarm.Gap{{From: at.Add(-time.Hour), To: at}},
	}
}

// Operators see the alarms; others do not. The contract describes the answer,
// which the fixture checks.
func TestAlarms(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.get("/api/alarms", byKey()...)
	var got alarm.Report
	decode(t, w, &got)
	if len(got.Ringing) != 1 || got.Ringing[0].Subject != "demo / purchase" || len(got.Receivers) != 1 || len(got.Gaps) != 1 {
		t.Errorf("got %s", w.Body)
	}
	if w := f.get("/api/alarms"); w.Code != http.StatusForbidden {
		t.Errorf("without a key: got %d", w.Code)
	}
	if w := f.get("/api/alarms", "Authorization", "Token "+publicToken); w.Code != http.StatusForbidden {
		t.Errorf("with a public key: got %d %s", w.Code, w.Body)
	}
}

// The tag of the alarms does not change with the clock alone, so that a program
// that asks each second gets them only when they change.
func TestAlarmsUnchanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	report := reported(time.Now())
	f.alarms = func(time.Time) alarm.Report { report.At = report.At.Add(time.Second); return report }
	tag := f.get("/api/alarms", byKey()...).Header().Get("ETag")
	if w := f.get("/api/alarms", append(byKey(), "If-None-Match", tag)...); w.Code != http.StatusNotModified || w.Header().Get("ETag") != tag {
		t.Errorf("a second later: got %d with %s, not %s", w.Code, w.Header().Get("ETag"), tag)
	}
	report.Ringing = []alarm.Row{}
	if w := f.get("/api/alarms", append(byKey(), "If-None-Match", tag)...); w.Code != http.StatusOK || w.Header().Get("ETag") == tag {
		t.Errorf("after a change: got %d with %s", w.Code, w.Header().Get("ETag"))
	}
}
