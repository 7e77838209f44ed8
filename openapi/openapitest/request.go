package openapitest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/klauspost/compress/zstd"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// checkRequest returns what is wrong with a request that the server did not
// refuse.
func (c *Contract) checkRequest(call *Call, item *openapi3.PathItem, op *openapi3.Operation) error {
	if err := c.checkKeys(call, op); err != nil {
		return err
	}
	query, err := url.ParseQuery(call.Query)
	if err != nil {
		return err
	}
	for _, list := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, p := range list {
			if p.Value.In != openapi3.ParameterInQuery || !query.Has(p.Value.Name) {
				continue
			}
			if err := c.validate(p.Value.Schema.Value, given(p.Value.Schema.Value, query[p.Value.Name])); err != nil {
				return fmt.Errorf("parameter %s: %w", p.Value.Name, err)
			}
		}
	}
	if op.RequestBody == nil {
		return nil
	}
	media := op.RequestBody.Value.Content.Get(mediaOf(call.Header.Get("Content-Type")))
	if media == nil {
		return fmt.Errorf("the media type %q is not in the contract", call.Header.Get("Content-Type"))
	}
	if media.Schema.Value.Format == "binary" {
		return nil // the contract does not describe it
	}
	v, err := readJSON(call.Header.Get("Content-Encoding"), call.Sent)
	if err != nil {
		return err
	}
	return c.validate(media.Schema.Value, v)
}

// given returns the value of a parameter: all of its values if the schema is an
// array, otherwise the first.
func given(schema *openapi3.Schema, values []string) any {
	if !schema.Type.Is(openapi3.TypeArray) {
		return scalar(schema, values[0])
	}
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = scalar(schema.Items.Value, v)
	}
	return all
}

// mediaOf returns the media type of a body. The server takes some types for
// JSON that the contract does not promise (none, "+json", and the one of curl
// -d). They are JSON here, too.
func mediaOf(contentType string) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || strings.HasSuffix(media, "+json") || media == "application/x-www-form-urlencoded" {
		return "application/json"
	}
	return media
}

// checkKeys requires credentials of one of the kinds that the operation
// accepts. The server decides whether they are good.
func (c *Contract) checkKeys(call *Call, op *openapi3.Operation) error {
	if len(*op.Security) == 0 {
		return nil
	}
	scheme, credentials, _ := strings.Cut(call.Header.Get("Authorization"), " ")
	for _, requirement := range *op.Security {
		if len(requirement) == 0 { // a key is optional
			return nil
		}
		for name := range requirement {
			s := c.doc.Components.SecuritySchemes[name].Value
			switch {
			case name == "writeKey", name == "bearerKey": // the body may have it
				return nil
			case s.Type == "http" && strings.EqualFold(scheme, s.Scheme) && credentials != "",
				s.In == "header" && strings.EqualFold(scheme, "Token") && credentials != "",
				s.In == "cookie" && strings.Contains(call.Header.Get("Cookie"), s.Name+"="),
				s.In == "query" && strings.Contains(call.Query, s.Name+"="):
				return nil
			}
		}
	}
	return errors.New("it has no key of a kind that is asked for")
}

func readJSON(coding string, body []byte) (any, error) {
	plain, err := inflate(coding, body)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(plain))
}

func inflate(coding string, body []byte) (plain []byte, err error) {
	in := io.Reader(bytes.NewReader(body))
	if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		coding = "gzip" // some clients do not say so
	}
	switch strings.ToLower(coding) {
	case "gzip", "x-gzip":
		in, err = gzip.NewReader(in)
	case "zstd":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(in); err == nil {
			defer z.Close()
		}
		in = z
	case "deflate":
		if in, err = zlib.NewReader(in); err != nil {
			in, err = flate.NewReader(bytes.NewReader(body)), nil
		}
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(in)
}

// scalar returns the value that a text in a query or a header field represents.
func scalar(schema *openapi3.Schema, text string) any {
	_, numeric := schema.Const.(float64)
	if schema.Type.Is("integer") || numeric {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	}
	return text
}
