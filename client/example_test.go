package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"trackway/client"
)

// exampleServer stands in for `trackway serve`: it acknowledges batches of two
// commands, or of one.
func exampleServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/system/time"):
			_, _ = w.Write([]byte(`{"errors":[],"success":true,"time":1700000000.5}`))
		case r.ContentLength < 200:
			_, _ = w.Write([]byte(`{"results":[{"success":true}],"success":true}`))
		default:
			_, _ = w.Write([]byte(`{"results":[{"success":true},{"success":false,"errors":["Unknown identifier."]}],"success":true}`))
		}
	}))
}

func Example() {
	server := exampleServer() // in production: trackway serve
	defer server.Close()

	c, err := client.New(client.Options{URL: server.URL, Project: "12345678-1234-1234-1234-123456789abc", Token: "public-token"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Track(client.IDs{"registered": "jane"}, "purchase", client.Properties{"total": 7.99}); err != nil {
		fmt.Println(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println("not delivered:", c.Close(ctx))
	fmt.Println("delivered:", c.Stats().Delivered)
	// Output:
	// not delivered: <nil>
	// delivered: 1
}

func ExampleOptions_onReject() {
	server := exampleServer()
	defer server.Close()
	c, err := client.New(client.Options{
		URL: server.URL, Project: "12345678-1234-1234-1234-123456789abc", Token: "public-token",
		OnReject: func(_ context.Context, r client.Rejection) { fmt.Println(r.Status, r.Reason) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = c.Identify(client.IDs{"registered": "jane"}, client.Properties{"plan": "pro"}) // fails if the queue is full
	_ = c.Track(client.IDs{"shoe_size": "42"}, "visit", nil)
	_ = c.Close(context.Background())
	// Output: 200 Unknown identifier.
}

func ExampleClient_Time() {
	server := exampleServer()
	defer server.Close()
	c, err := client.New(client.Options{URL: server.URL, Project: "12345678-1234-1234-1234-123456789abc", Token: "public-token"})
	if err != nil {
		fmt.Println(err)
		return
	}
	now, err := c.Time(context.Background()) // a quick check that URL, project and token are right
	fmt.Println(now.Format(time.RFC3339Nano), err)
	_ = c.Close(context.Background())
	// Output: 2023-11-14T22:13:20.5Z <nil>
}

func ExampleClient_Close() {
	c, err := client.New(client.Options{URL: "http://127.0.0.1:1", Project: "12345678-1234-1234-1234-123456789abc", Token: "public-token"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = c.Track(client.IDs{"registered": "jane"}, "visit", nil)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if left, ok := errors.AsType[*client.UndeliveredError](c.Close(ctx)); ok {
		fmt.Println(left.Commands, left.Kept, left.Cause) // left.LastError says why: the connection was refused
	}
	// Output: 1 false context deadline exceeded
}
