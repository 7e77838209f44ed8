package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"trackway/internal/excerpt"
)

// refusal is the answer to a call that cannot be carried out as it is.
type refusal struct {
	status int

	Success bool    `json:"success"` // always false
	Errors  []fault `json:"errors"`
}

// fault is one reason for a refusal.
type fault struct {
	Field   string `json:"field"` // a setting of the body, or of another thing; empty: the whole
	Message string `json:"message"`
}

func (r *refusal) Error() string { return fmt.Sprint(r.Errors) }

func refuse(status int, field, message string) *refusal {
	return &refusal{status: status, Errors: []fault{{field, message}}}
}

// answer sends a value as JSON.
func (c *call) answer(status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // an error means that the caller has gone
	return nil
}

// gone answers that something no longer exists.
func (c *call) gone() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// maxDepth bounds how deep settings are nested. Those of the configuration are
// nested less.
const maxDepth = 16

// body reads the body, a JSON object. If it may be missing, that is an empty
// one.
func (c *call) body(optional bool) (settings map[string]any, err error) {
	text, err := io.ReadAll(c.r.Body)
	if err != nil {
		return nil, err
	}
	if optional && len(bytes.TrimSpace(text)) == 0 {
		return map[string]any{}, nil
	}
	if wrong := checkShape(text); wrong != nil {
		return nil, wrong
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // or large numbers would change
	if d.Decode(&settings) != nil || settings == nil || d.More() {
		return nil, errShape
	}
	return settings, nil
}

var errShape = refuse(http.StatusBadRequest, "", "The body must be a JSON object with settings.")

// level is an object or a list around a token.
type level struct {
	names map[string]bool // nil: it is a list
	name  string          // of the member whose value comes or has come last
	named bool            // that value comes next
}

// checkShape refuses a body that is not JSON, is nested too deep, or has an
// object with two members of the same name. RFC 8259, section 4, leaves open
// which of two would count, so the caller and the server might disagree.
func checkShape(text []byte) error {
	var around []level
	for tokens := json.NewDecoder(bytes.NewReader(text)); ; {
		token, err := tokens.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errShape
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			around = around[:len(around)-1]
			continue
		}
		if len(around) > 0 {
			isName, again := around[len(around)-1].take(token)
			if again {
				return refuse(http.StatusBadRequest, pathOf(around), "must be given once, and is in the body twice")
			}
			if isName {
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			around = append(around, level{names: make(map[string]bool)})
		case json.Delim('['):
			around = append(around, level{})
		}
		if len(around) > maxDepth {
			return refuse(http.StatusUnprocessableEntity, "", "The settings are nested too deep.")
		}
	}
}

// take takes the next token of a level: the name of a member, which may be
// there already, or a value or its beginning.
func (l *level) take(token json.Token) (isName, again bool) {
	if l.names == nil || l.named {
		l.named = false
		return false, false
	}
	l.name, _ = token.(string) // nothing else can be there
	l.named, again = true, l.names[l.name]
	l.names[l.name] = true
	return true, again
}

// pathOf returns the names of the members around a place, such as batch.rows.
func pathOf(around []level) string {
	var names []string
	for i := range around {
		if around[i].names != nil {
			names = append(names, around[i].name)
		}
	}
	return excerpt.Of(strings.Join(names, "."), mostPath)
}

const mostPath = 200 // bytes

// into reads the body into a struct, whose members it may have and no others.
func (c *call) into(dst any, optional bool) error {
	settings, err := c.body(optional)
	if err != nil {
		return err
	}
	for name, value := range settings {
		if list, ok := value.([]any); value == nil || ok && slices.Contains(list, nil) {
			return refuse(http.StatusBadRequest, name, "must be given without null, or be left out")
		}
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(dst); err != nil {
		field := ""
		if wrong, ok := err.(*json.UnmarshalTypeError); ok { //nolint:errorlint // what Decode returns
			field = wrong.Field
		}
		return refuse(http.StatusBadRequest, field, "The body has a member that is unknown, or of another type: "+err.Error())
	}
	return nil
}
