package openapitest

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// limitFields go together: an answer has all of them, or no policy counted the
// call.
var limitFields = []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"}

func (c *Contract) checkAnswer(call *Call, want *openapi3.Response) error {
	fields := canonical(call.AnswerHeader)
	for name, h := range want.Headers {
		values := fields[http.CanonicalHeaderKey(name)]
		switch {
		case len(values) == 0 && h.Value.Required:
			return fmt.Errorf("the field %s is missing", name)
		case len(values) > 1:
			return fmt.Errorf("the field %s is there %d times", name, len(values))
		case len(values) == 1:
			schema := h.Value.Schema.Value
			if err := c.validate(schema, scalar(schema, values[0])); err != nil {
				return fmt.Errorf("the field %s: %w", name, err)
			}
		}
	}
	if err := checkLimitFields(fields, call.Status); err != nil {
		return err
	}
	return c.checkBody(call, fields.Get("Content-Type"), want)
}

// canonical returns fields under the names that [http.Header.Get] looks for. A
// recorder, unlike a connection, keeps the letter case in which they were set.
func canonical(h http.Header) http.Header {
	c := make(http.Header, len(h))
	for name, values := range h {
		c[http.CanonicalHeaderKey(name)] = values
	}
	return c
}

func checkLimitFields(fields http.Header, status int) error {
	n := 0
	for _, name := range limitFields {
		if fields.Get(name) != "" {
			n++
		}
	}
	if n != 0 && n != len(limitFields) || n == 0 && status == http.StatusTooManyRequests {
		return fmt.Errorf("%d of the %d fields of rate limits are there", n, len(limitFields))
	}
	return nil
}

func (c *Contract) checkBody(call *Call, contentType string, want *openapi3.Response) error {
	switch {
	case call.Method == http.MethodHead || len(want.Content) == 0:
		if len(call.Answer) > 0 {
			return errors.New("there should be no body")
		}
		return nil
	case call.AnswerHeader.Get("Content-Encoding") != "":
		return errors.New("the contract has no encoded answers")
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("the media type %q: %w", contentType, err)
	}
	expected := want.Content[media] // an exact match: no range, no guess
	if expected == nil {
		return fmt.Errorf("the media type %s is not in the contract", media)
	}
	var v any = string(call.Answer)
	switch media {
	case "application/json":
		if v, err = jsonschema.UnmarshalJSON(bytes.NewReader(call.Answer)); err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
	case "application/yaml":
		if !strings.HasPrefix(string(call.Answer), "#") {
			return errors.New("not the contract")
		}
		return nil
	}
	return c.validate(expected.Schema.Value, v)
}
