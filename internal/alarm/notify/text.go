package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"trackway/internal/alarm"
	"trackway/internal/config/alarming"
	"trackway/internal/excerpt"
)

const (
	mostLines    = 50       // notices that a text mentions
	mostText     = 16 << 10 // bytes of them in JSON; Microsoft Teams takes 28 KB in all
	mostHeadline = 150      // bytes
)

// headline sums up a message in one line without control characters.
func (m *Message) headline() string {
	rings, ended := 0, 0
	for i := range m.Notices {
		if m.Notices[i].State == alarm.Rings {
			rings++
		} else {
			ended++
		}
	}
	var text string
	switch n := m.Notices; {
	case m.Trial:
		text = "Trial message"
	case len(n) == 1:
		text = phrase(&n[0])
	case ended == 0:
		text = fmt.Sprintf("%d alarms ring", rings)
	case rings == 0:
		text = fmt.Sprintf("%d alarms have ended", ended)
	default:
		text = fmt.Sprintf("%d alarms ring, %d have ended", rings, ended)
	}
	return excerpt.Of(plain("[Trackway "+m.Server+"] "+text), mostHeadline)
}

func phrase(n *alarm.Notice) string {
	text := alarm.Headline(n.Kind, n.Subject)
	if n.State == alarm.Ended && n.Kind != alarming.WasDown && n.Kind != trial {
		text = "Ended: " + text
	}
	return text
}

// oneLine removes everything that could end a line or control a terminal.
func oneLine(text string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsGraphic(c) {
			return ' '
		}
		return c
	}, text)
}

// unlink breaks what mail programs and chats make links of.
var unlink = strings.NewReplacer("://", "[:]//", "www.", "www[.]", "WWW.", "WWW[.]")

// plain returns a text on one line and without links: strangers choose the
// names of types.
func plain(text string) string { return unlink.Replace(oneLine(text)) }

// lines returns the message in plain text, a paragraph for each notice. Those
// of which strangers can cause many come last. A receiver would refuse a text
// that is too long, again and again.
func (m *Message) lines() []string {
	var all []string
	if m.LeftOut > 0 {
		all = append(all, fmt.Sprintf("%d older messages were left out, because they could not be sent for too long.", m.LeftOut))
	}
	notices := slices.Clone(m.Notices)
	slices.SortStableFunc(notices, func(a, b alarm.Notice) int { return alarming.Rank(a.Kind) - alarming.Rank(b.Kind) })
	size := 0
	for i := range notices {
		n := &notices[i]
		const form = "2006-01-02 15:04 UTC"
		when := "Since " + n.Since.UTC().Format(form) + "."
		if n.State == alarm.Ended {
			when = fmt.Sprintf("From %s to %s.", n.Since.UTC().Format(form), n.Ended.UTC().Format(form))
		}
		if m.Trial {
			when = ""
		}
		line := strings.TrimSpace(plain(fmt.Sprintf("%s. %s %s", phrase(n), n.Text, when)))
		encoded, _ := json.Marshal(line) // a text has a form in JSON
		size += len(encoded)
		if i == mostLines || i > 0 && size > mostText {
			all = append(all, fmt.Sprintf("And %d more: trackway alarms list shows them.", len(notices)-i))
			break
		}
		all = append(all, line)
	}
	return all
}

// seconds returns a time as Standard Webhooks writes it.
func seconds(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
