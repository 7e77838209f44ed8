package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
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
	wrong := refuse(http.StatusBadRequest, "", "The body must be a JSON object with settings.")
	depth, texts := 0, json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := texts.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, wrong
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxDepth {
			return nil, refuse(http.StatusUnprocessableEntity, "", "The settings are nested too deep.")
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // or large numbers would change
	if d.Decode(&settings) != nil || settings == nil || d.More() {
		return nil, wrong
	}
	return settings, nil
}

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
