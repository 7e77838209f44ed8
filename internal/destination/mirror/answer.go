package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"trackway/internal/destination"
	"trackway/internal/destination/outbound"
	"trackway/internal/excerpt"
)

const maxReason = 200 // bytes of a reason in another server's words

var (
	errAnswer = errors.New("the answer is incomplete, or not from a tracking server")

	// errTooLarge and errRefused mean that a request was refused as a whole
	// because of its content. Smaller requests then find the command at fault.
	errTooLarge = errors.New("the other side refuses the command: it is too large")
	errRefused  = errors.New("the other side refuses the command")
)

// results returns, for each command of a request, the reason why it was
// refused, or an empty text.
func results(a *outbound.Answer, commands []command, now time.Time) ([]string, error) {
	switch {
	case a.Status == http.StatusOK:
		return readResults(a.Body, commands)
	case a.Status == http.StatusRequestEntityTooLarge:
		return nil, errTooLarge
	case a.Status == http.StatusBadRequest && aboutCommands(a.Body):
		return nil, errRefused
	case a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable:
		if wait := a.RetryAfter(now); wait > 0 {
			return nil, &destination.BusyError{Err: fmt.Errorf("the other side answers %d and asks to wait", a.Status), After: wait}
		}
	case a.Status == http.StatusBadRequest:
		return nil, errors.New("the other side answers 400: does it have this project?")
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		return nil, fmt.Errorf("the other side answers %d: does it have this key, and may the key track?", a.Status)
	case a.Status == http.StatusNotFound:
		return nil, errors.New("the other side answers 404: is the URL right?")
	case a.Status >= 300 && a.Status <= 399:
		return nil, fmt.Errorf("the other side answers %d: redirects are not followed", a.Status)
	}
	return nil, fmt.Errorf("the other side answers %d", a.Status)
}

// aboutCommands reports whether a 400 is about the content of a batch. If its
// "error" is a text, it is about the project. If it has another form, it is not
// from a tracking server.
func aboutCommands(body []byte) bool {
	var found struct{ Message, Error, Errors any }
	if json.Unmarshal(body, &found) != nil {
		return false
	}
	_, project := found.Error.(string)
	return !project && (found.Message != nil || found.Errors != nil)
}

// unknown reports whether a 404 means that there is no such customer.
func unknown(body []byte) bool {
	var found struct {
		Errors map[string]json.RawMessage
	}
	return json.Unmarshal(body, &found) == nil && found.Errors["_global"] != nil
}

func readResults(body []byte, commands []command) ([]string, error) {
	var found struct {
		Results []struct {
			Success any
			Errors  any
		}
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&found); err != nil || len(found.Results) != len(commands) {
		return nil, errAnswer
	}
	reasons := make([]string, len(commands))
	for i, r := range found.Results {
		switch r.Success {
		case true:
		case false:
			reasons[i] = hide(joined(r.Errors), commands[i].secrets())
		default:
			return nil, errAnswer
		}
	}
	return reasons, nil
}

// joined joins the texts of a list.
func joined(v any) string {
	list, _ := v.([]any)
	var texts []string
	for _, one := range list {
		if text, ok := one.(string); ok && text != "" {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return "refused without a reason"
	}
	return strings.Join(texts, " ")
}

// hide returns another server's words without those that occur in some values,
// regardless of case. A server may quote a part of a value, or a value as part
// of something else.
func hide(text string, values []string) string {
	const short = 3 // bytes; shorter words are parts of many values, and reveal nothing
	all := strings.ToLower(strings.Join(values, "\n"))
	all += strings.ReplaceAll(all, `\\`, `\`) // values inside values are JSON
	var b strings.Builder
	for len(text) > 0 {
		n := strings.IndexFunc(text, separates)
		if n < 0 {
			n = len(text)
		}
		word := strings.ToLower(strings.Trim(text[:n], ".…!?"))
		if len(word) >= short && strings.Contains(all, word) {
			b.WriteString("…")
		} else {
			b.WriteString(text[:n])
		}
		_, size := utf8.DecodeRuneInString(text[n:])
		b.WriteString(text[n : n+size])
		text = text[n+size:]
	}
	return excerpt.Of(b.String(), maxReason)
}

// separates reports whether a character separates two words.
func separates(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`"'“”‘’`+"`"+`()[]{}<>,:;=|`, r)
}
