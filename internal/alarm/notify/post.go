package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"trackway/internal/alarm"
	"trackway/internal/config/alarming"
	"trackway/internal/destination/outbound"
	"trackway/internal/destination/webhook"
)

const (
	mostAnswer = 4 << 10
	bodyTime   = 2 * time.Second // for the body of an answer, of which only the status counts
)

// poster sends messages by HTTP: to a receiver of Standard Webhooks, to Slack
// or to Microsoft Teams.
type poster struct {
	kind string
	keys [][]byte // webhook
	http *outbound.Client
}

func newPoster(r *alarming.Receiver) (*poster, error) {
	p := &poster{kind: r.Kind}
	var err error
	if r.Kind == alarming.Webhook {
		if p.keys, err = webhook.ReadSecrets(r.Secret); err != nil {
			return nil, err
		}
	}
	p.http, err = outbound.New(r.URL, r.Allow, 1, patience, mostAnswer)
	if err != nil {
		return nil, err
	}
	p.http.BodyTime = bodyTime
	return p, nil
}

// send sends a message. Any 2xx accepts it.
func (p *poster) send(ctx context.Context, m *Message) error {
	ctx, _, stop := within(ctx, patience)
	defer stop()
	body, err := json.Marshal(p.body(m))
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if p.kind == alarming.Webhook {
		id, at := m.id(), seconds(time.Now())
		header["Webhook-Id"], header["Webhook-Timestamp"] = []string{id}, []string{at}
		header["Webhook-Signature"] = []string{webhook.Sign(p.keys, id, at, body)}
	}
	answer, err := p.http.Do(ctx, http.MethodPost, "", header, body)
	if err != nil {
		return err
	}
	return judge(answer)
}

// judge returns nil if an answer accepts a message.
func judge(a *outbound.Answer) error {
	switch {
	case a.Status >= 200 && a.Status <= 299:
		return nil
	case a.Status >= 300 && a.Status <= 399:
		return fmt.Errorf("the receiver answers %d: redirects are not followed", a.Status)
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		return fmt.Errorf("the receiver answers %d: is the secret or the URL right?", a.Status)
	case a.Status == http.StatusNotFound || a.Status == http.StatusGone:
		return fmt.Errorf("the receiver answers %d: is the URL right?", a.Status)
	}
	err := fmt.Errorf("the receiver answers %d", a.Status)
	if wait := a.RetryAfter(time.Now()); wait > 0 {
		return &waitError{err, wait}
	}
	return err
}

// id names a message. The same notices have the same id, so that a receiver can
// tell a repetition.
func (m *Message) id() string {
	sum := sha256.New()
	for i := range m.Notices {
		sum.Write([]byte(m.Notices[i].ID))
	}
	return "alarms-" + hex.EncodeToString(sum.Sum(nil)[:12])
}

func (p *poster) body(m *Message) any {
	switch p.kind {
	case alarming.Slack:
		return slackOf(m)
	case alarming.Teams:
		return teamsOf(m)
	}
	return webhookOf(m)
}

// webhookBody is a message as receivers of Standard Webhooks get it.
type webhookBody struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      struct {
		Server  string          `json:"server"`
		Summary string          `json:"summary"`
		LeftOut int             `json:"left_out"`
		Alarms  []webhookNotice `json:"alarms"`
	} `json:"data"`
}

type webhookNotice struct {
	alarm.Notice

	Headline string `json:"headline"`
}

func webhookOf(m *Message) any {
	b := webhookBody{Type: "trackway.alarms", Timestamp: m.At.UTC()}
	if m.Trial {
		b.Type = "trackway.alarms.trial"
	}
	b.Data.Server, b.Data.Summary, b.Data.LeftOut = m.Server, m.headline(), m.LeftOut
	for i := range m.Notices {
		n := &m.Notices[i]
		b.Data.Alarms = append(b.Data.Alarms, webhookNotice{*n, alarm.Headline(n.Kind, n.Subject)})
	}
	return b
}

// slackEscaper replaces what Slack takes for links and mentions.
var slackEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// slackOf is a message for an incoming webhook of Slack, without its markup:
// clients choose the names of types.
func slackOf(m *Message) any {
	return struct {
		Text        string `json:"text"`
		Markup      bool   `json:"mrkdwn"`
		UnfurlLinks bool   `json:"unfurl_links"`
		Parse       string `json:"parse"`
	}{slackEscaper.Replace(m.headline() + "\n" + strings.Join(m.lines(), "\n")), false, false, "none"}
}

// teamsOf is a message for a webhook of a workflow in Microsoft Teams: an
// Adaptive Card. Rich text has no markup, unlike text blocks.
func teamsOf(m *Message) any {
	type run struct {
		Type   string `json:"type"`
		Text   string `json:"text"`
		Weight string `json:"weight,omitempty"`
	}
	type block struct {
		Type    string `json:"type"`
		Inlines []run  `json:"inlines"`
	}
	blocks := []block{{"RichTextBlock", []run{{"TextRun", m.headline(), "Bolder"}}}}
	for _, text := range m.lines() {
		blocks = append(blocks, block{"RichTextBlock", []run{{"TextRun", text, ""}}})
	}
	type card struct {
		Schema  string  `json:"$schema"`
		Type    string  `json:"type"`
		Version string  `json:"version"`
		Body    []block `json:"body"`
	}
	type attachment struct {
		Type    string `json:"contentType"`
		Content card   `json:"content"`
	}
	return struct {
		Type        string       `json:"type"`
		Attachments []attachment `json:"attachments"`
	}{"message", []attachment{{
		"application/vnd.microsoft.card.adaptive",
		card{"http://adaptivecards.io/schemas/adaptive-card.json", "AdaptiveCard", "1.4", blocks},
	}}}
}

var errNoAuthorities = errors.New("ca: the file has no certificate in PEM")
