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
	req, err := http.NewRequestWithContext(ctx, method, "http://trackway"+route+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = length
	res, err := client.Do(req)
	if inner, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("the server does not answer: %w", inner.Err)
	} else if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the server refuses: %s", Reason(text))
}
