package notify

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"trackway/internal/alarm"
	"trackway/internal/excerpt"
)

const (
	mostLines    = 50  // notices that a text mentions
	mostHeadline = 150 // bytes
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
	return excerpt.Of(oneLine("[Trackway "+m.Server+"] "+text), mostHeadline)
}

func phrase(n *alarm.Notice) string {
	text := alarm.Headline(n.Kind, n.Subject)
	if n.State == alarm.Ended && n.Kind != "was_down" {
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

// lines returns the message in plain text, a paragraph for each notice.
func (m *Message) lines() []string {
	var all []string
	if m.LeftOut > 0 {
		all = append(all, fmt.Sprintf("%d older messages were left out, because they could not be sent for too long.", m.LeftOut))
	}
	for i := range m.Notices {
		if i == mostLines {
			all = append(all, fmt.Sprintf("And %d more: trackway alarms list shows them.", len(m.Notices)-mostLines))
			break
		}
		n := &m.Notices[i]
		const form = "2006-01-02 15:04 UTC"
		when := "Since " + n.Since.UTC().Format(form) + "."
		if n.State == alarm.Ended {
			when = fmt.Sprintf("From %s to %s.", n.Since.UTC().Format(form), n.Ended.UTC().Format(form))
		}
		if m.Trial {
			when = ""
		}
		all = append(all, strings.TrimSpace(oneLine(fmt.Sprintf("%s. %s %s", phrase(n), n.Text, when))))
	}
	return all
}

// seconds returns a time as Standard Webhooks writes it.
func seconds(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
