package raft

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// libraryLogger returns a logger for the library that passes its messages on.
func libraryLogger(to *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Debug})
	l.RegisterSink(librarySink{to})
	return l
}

// librarySink is a [hclog.SinkAdapter].
type librarySink struct{ to *slog.Logger }

// Accept implements [hclog.SinkAdapter]. The library reports each connection
// that ends as an error, so its errors are no more than information here.
func (s librarySink) Accept(_ string, level hclog.Level, message string, args ...any) {
	at := slog.LevelDebug
	if level >= hclog.Error {
		at = slog.LevelInfo
	}
	if !s.to.Enabled(context.Background(), at) {
		return
	}
	attrs := []any{slog.String("detail", message)}
	for i := 0; i+1 < len(args); i += 2 {
		key := strings.ReplaceAll(fmt.Sprint(args[i]), "-", "_")
		attrs = append(attrs, slog.String(key, fmt.Sprint(args[i+1])))
	}
	s.to.Log(context.Background(), at, "raft", attrs...)
}
