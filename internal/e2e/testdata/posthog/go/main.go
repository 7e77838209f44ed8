// Command client sends messages with SDKs for Go that are no dependencies of the
// server.
//
//	client posthog|otlp ADDRESS KEY
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/posthog/posthog-go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
)

// patience is for a slow machine.
const patience = 2 * time.Minute

func main() {
	send := map[string]func(address, key string) (any, error){"posthog": sendPostHog, "otlp": sendOTLP}[os.Args[1]]
	got, err := send(os.Args[2], os.Args[3])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(got)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// outcome counts what became of messages.
type outcome struct {
	mu     sync.Mutex
	done   sync.WaitGroup
	Lost   []string `json:"lost"`
	Flag   any      `json:"flag"`
	Errors []string `json:"errors,omitempty"`
}

func (o *outcome) Success(posthog.APIMessage) { o.done.Done() }

func (o *outcome) Failure(_ posthog.APIMessage, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Lost = append(o.Lost, err.Error())
	o.done.Done()
}

func sendPostHog(address, key string) (any, error) {
	o := &outcome{Lost: []string{}}
	c, err := posthog.NewWithConfig(key, posthog.Config{
		Endpoint: address, BatchSize: 1, Callback: o, FeatureFlagRequestTimeout: patience,
	})
	if err != nil {
		return nil, err
	}
	add := func(m posthog.Message) {
		o.done.Add(1)
		if err := c.Enqueue(m); err != nil {
			o.Failure(nil, err)
		}
		o.done.Wait() // the SDK drops what it could not send when it is closed
	}
	for n := range 8 {
		add(posthog.Capture{DistinctId: "go-user", Event: fmt.Sprint("load ", n), Properties: posthog.NewProperties().Set("n", n)})
	}
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	add(posthog.Capture{DistinctId: "go-user", Event: "same", Timestamp: at, Uuid: "01890000-0000-7000-8000-000000000001"})
	add(posthog.Capture{DistinctId: "go-user", Event: "same", Timestamp: at, Uuid: "01890000-0000-7000-8000-000000000002"})
	add(posthog.Capture{DistinctId: "go-user", Event: "too late", Timestamp: at.AddDate(300, 0, 0)}) // refused alone
	add(posthog.Identify{DistinctId: "go-user", Properties: posthog.NewProperties().Set("email", "go@example.com").Set("plan", "first")})
	add(posthog.Alias{DistinctId: "go-user", Alias: "go-device"})
	add(posthog.GroupIdentify{Type: "company", Key: "acme", DistinctId: "go-user", Properties: posthog.NewProperties().Set("seats", 3)})
	no := false
	if o.Flag, err = c.IsFeatureEnabled(posthog.FeatureFlagPayload{Key: "flag", DistinctId: "go-user", SendFeatureFlagEvents: &no}); err != nil {
		return nil, err
	}
	return o, c.Close()
}

func sendOTLP(address, key string) (any, error) {
	ctx := context.Background()
	o := &outcome{Lost: []string{}}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Errors = append(o.Errors, err.Error()) }))
	exporter, err := otlploghttp.New(ctx,
		otlploghttp.WithEndpointURL(address+"/v1/logs"), otlploghttp.WithHeaders(map[string]string{"Authorization": "Token " + key}),
		otlploghttp.WithCompression(otlploghttp.GzipCompression), otlploghttp.WithTimeout(patience),
		otlploghttp.WithRetry(otlploghttp.RetryConfig{Enabled: true, InitialInterval: 50 * time.Millisecond, MaxInterval: time.Second, MaxElapsedTime: patience}),
	)
	if err != nil {
		return nil, err
	}
	batches := sdklog.NewBatchProcessor(exporter, sdklog.WithExportInterval(time.Hour), sdklog.WithExportTimeout(patience))
	res := resource.NewSchemaless(attribute.String("service.name", "shop"))
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(batches), sdklog.WithResource(res))
	logger := provider.Logger("checkout", log.WithInstrumentationVersion("1.2"))
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	emit := func(name string, attributes ...attribute.KeyValue) {
		var r log.Record
		r.SetEventName(name)
		r.SetTimestamp(at)
		r.SetSeverity(log.SeverityInfo)
		r.AddAttributes(append(attributes, attribute.String("user.id", "otel-user"), attribute.String("session.id", "otel-session"))...)
		logger.Emit(ctx, r)
	}
	for n := range 8 {
		emit(fmt.Sprint("load ", n), attribute.Int("n", n), attribute.Map("order", attribute.Float64("total", 7.99), attribute.StringSlice("tags", []string{"a"})))
		if err := provider.ForceFlush(ctx); err != nil {
			return nil, err
		}
	}
	emit("same", attribute.String("log.record.uid", "1"))
	emit("same", attribute.String("log.record.uid", "2"))
	emit("") // refused alone
	if err := provider.ForceFlush(ctx); err != nil {
		o.Errors = append(o.Errors, err.Error())
	}
	return o, provider.Shutdown(ctx)
}
