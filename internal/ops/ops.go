// Package ops is the HTTP interface for operators: health, metrics and
// profiles, on a listener of its own that must never be public. It knows
// nothing about customers.
package ops

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"trackway/internal/control/members"
)

// Config is what the handler needs. All fields are required, unless they say
// what nil means.
type Config struct {
	Gatherer prometheus.Gatherer
	Ready    func() error // nil while the server accepts requests; otherwise the reason
	Listen   string       // host:port, as configured
	Reload   func() error // puts the present configuration in force; an error says why nothing was changed

	// Notes returns other things that are not in order, whether or not the
	// server accepts requests; nil: none.
	Notes func() []string

	Cluster func() members.Status // nil: the server stands alone
}

// Handler returns the routes of the ops listener.
//
//	/-/healthy      200 as long as the process answers
//	/-/ready        200 while the server accepts requests; 503 with the reason
//	                otherwise (from the moment a stop begins). Further lines name
//	                other things that are not in order
//	POST /-/reload  200 once the configuration is in force; 400 with the reason
//	                if it is wrong, and nothing was changed
//	/-/cluster      a [members.Status]; 404 if the server stands alone
//	/metrics        Prometheus text or OpenMetrics
//	/debug/pprof/   profiles (net/http/pprof)
//
// Requests that a page of another site makes a browser send are answered with
// 403.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil, http.StatusOK, "healthy") })
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		lines, err := []string{"ready"}, c.Ready()
		if err != nil {
			lines[0] = err.Error()
		}
		if c.Notes != nil {
			lines = append(lines, c.Notes()...)
		}
		text := strings.Join(lines, "\n")
		if err != nil {
			err = errors.New(text)
		}
		answer(w, err, http.StatusServiceUnavailable, text)
	})
	mux.HandleFunc("POST /-/reload", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, c.Reload(), http.StatusBadRequest, "reloaded")
	})
	if c.Cluster != nil {
		mux.HandleFunc("GET /-/cluster", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(c.Cluster()) // an error means that the caller has gone
		})
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return guarded(mux, c.Listen)
}

// answer reports success, or answers with the status failed and the error.
func answer(w http.ResponseWriter, err error, failed int, well string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(failed)
		well = err.Error()
	}
	_, _ = w.Write([]byte(well + "\n")) // an error means that the caller has gone
}
