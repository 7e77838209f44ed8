package running

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Control sends a request to the control socket that client belongs to (see
// [control.Client]). It returns the body of the answer, which is read as it
// arrives. length is the number of bytes in body.
func Control(ctx context.Context, client *http.Client, method, route string, query url.Values, body io.Reader, length int64) (io.ReadCloser, error) {
	answer, _, err := ControlWith(ctx, client, method, route, query, body, length)
	return answer, err
}

// ControlWith does what [Control] does, and also returns the fields of the
// answer.
func ControlWith(
	ctx context.Context, client *http.Client, method, route string, query url.Values, body io.Reader, length int64,
) (io.ReadCloser, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://trackway"+route+"?"+query.Encode(), body)
	if err != nil {
		return nil, nil, err
	}
	req.ContentLength = length
	res, err := client.Do(req)
	if inner, ok := errors.AsType[*url.Error](err); ok {
		return nil, nil, fmt.Errorf("the server does not answer: %w", inner.Err)
	} else if err != nil {
		return nil, nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, res.Header, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, nil, err
	}
	return nil, nil, fmt.Errorf("the server refuses: %s", Reason(text))
}
