// Command segment sends messages with analytics-go: segment SERVER KEY COUNT
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

// counter counts what became of messages.
type counter struct {
	wait   sync.WaitGroup
	failed atomic.Int64
}

func (c *counter) Success(analytics.Message) { c.wait.Done() }

func (c *counter) Failure(analytics.Message, error) {
	c.failed.Add(1)
	c.wait.Done()
}

func main() {
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	var c counter
	client, err := analytics.NewWithConfig(os.Args[2], analytics.Config{
		Endpoint: os.Args[1], BatchSize: 2, Callback: &c, Interval: 50 * time.Millisecond,
		DefaultContext: &analytics.Context{App: analytics.AppInfo{Name: "shop"}},
	})
	if err != nil {
		panic(err)
	}
	send := func(m analytics.Message) {
		c.wait.Add(1)
		if err := client.Enqueue(m); err != nil {
			panic(err)
		}
	}
	send(analytics.Identify{UserId: "jane@example.com", AnonymousId: "a-1", Traits: analytics.NewTraits().Set("plan", "pro")})
	for n := range count {
		send(analytics.Track{UserId: "jane@example.com", Event: "step", Properties: analytics.NewProperties().Set("n", n)})
		if n == 4 {
			send(analytics.Track{UserId: "jane@example.com", Event: strings.Repeat("x", 300)})
		}
	}
	c.wait.Wait() // Close would drop what has to be sent again
	if err := client.Close(); err != nil {
		panic(err)
	}
	fmt.Println("failed:", c.failed.Load())
}
