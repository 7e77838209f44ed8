// Package config reads what the operator configured: defaults, then the YAML
// file, then flags (which stand for the environment too), then the keys in the
// managed file, then a check of the whole. A configuration is either right, or
// everything that is wrong with it is reported at once, with its place, so that a
// [Config] can be used without a further look. The package is strict: it refuses
// what it does not know. It does not watch files and it keeps no secrets, only
// their SHA-256. It never writes the operator's file, except for the first one
// ([Init]); keys that the program makes are in [ManagedFile] ([ChangeKeys]).
//
// A setting that is used as it is written is one field of Config, with its key in
// the yaml tag, its default in defaults, and, if not every value is right, a line
// in doc.check. Sections whose written form differs from their use (projects,
// limits, overrides) have a form of their own in file.go and their translation in
// a file of their own.
package config

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"trackway"
	"trackway/internal/clientip"
)

// Config is a checked configuration. It never changes, so that it may be
// shared; a reload makes another one. Not all of it can change while the server
// runs (see [CheckReload]).
type Config struct {
	Listen         string         `yaml:"listen"`     // host:port of the public listener
	OpsListen      string         `yaml:"ops_listen"` // host:port of the operator's listener
	DataDir        string         `yaml:"data_dir"`   // a relative path in the file starts at the file's folder
	TLS            TLS            `yaml:"tls"`
	Server         Server         `yaml:"server"`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`  // masked; IPv4 is never written as IPv6
	ClientIPHeader string         `yaml:"client_ip_header"` // one of clientip's constants
	ProxyProtocol  bool           `yaml:"proxy_protocol"`   // connections from trusted proxies begin with a PROXY header
	Servers        []Server       `yaml:"servers"`          // the others
	RedirectHosts  []string       `yaml:"redirect_hosts"`   // lower case: calls to them are sent on to a server that is up
	Contact        Contact        `yaml:"contact"`
	Connections    Connections    `yaml:"connections"` // to the public listener
	Memory         Memory         `yaml:"memory"`
	Log            Log            `yaml:"log"`

	Password  [sha256.Size]byte // SHA-256 of the one for the server's pages; zero: nobody can sign in
	Projects  []trackway.Project
	Policies  []trackway.Policy
	Overrides []trackway.Override
	Traffic   Traffic
}

// TLS names the PEM files of the public listener's certificate and its key.
// Both are empty if the listener speaks plain HTTP.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Server is how a tracking server is named.
type Server struct {
	Name   string `yaml:"name"` // this one's is by default the host's
	Region string `yaml:"region"`
	URL    string `yaml:"url"` // where clients reach it; this one's may be empty
}

// Contact is whom to ask for a higher limit or for missing data; the guide
// shows it. Both fields may be empty.
type Contact struct {
	Email string `yaml:"email"`
	URL   string `yaml:"url"`
}

// Log says what is logged, and how.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// SlogLevel returns the level as log/slog knows it.
func (l Log) SlogLevel() slog.Level { return logLevels[l.Level] }

// Logger returns a logger that writes to w, in the configured format,
// everything from level on.
func (l Log) Logger(w io.Writer, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// Flags are the settings from the command line and the environment. They win
// over the file. An empty one is not set.
type Flags struct {
	Listen    string
	OpsListen string
	DataDir   string // relative to the working directory
	LogLevel  string
	LogFormat string
}

// defaults returns the settings that hold if neither the file nor a flag sets
// them.
func defaults() Config {
	return Config{
		Listen:         "127.0.0.1:8080",
		OpsListen:      "127.0.0.1:8081",
		DataDir:        "trackway-data",
		Server:         Server{Name: hostname()},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		ClientIPHeader: clientip.XForwardedFor,
		Connections:    Connections{PerAddress: 256},
		Log:            Log{Level: "info", Format: "text"},
	}
}

// hostname returns the host's name, or trackway if that is unknown or no valid
// name of a server.
func hostname() string {
	name, err := os.Hostname()
	if err != nil || !isName(name) {
		return "trackway"
	}
	return name
}

// Check checks a part of the configuration whose rules belong to another
// package. It returns what is wrong: Field, as in a [Problem], and Msg. The
// rest of the configuration, and of that part, may be wrong, too.
type Check func(*Config) []Problem

// Load reads the configuration at path: the file, its mode, the certificate it
// names, the environment variables that its keys name, and the managed file in
// its data directory. Whatever is wrong comes as [InvalidError], whatever is
// merely unwise as warnings, which are returned with or without an error. The
// error is [fs.ErrNotExist] if there is no file at path.
func Load(path string, flags Flags, checks ...Check) (cfg *Config, warnings []Problem, err error) {
	d, err := load(path, flags, os.LookupEnv, readManaged, checks)
	if err != nil {
		return nil, nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	d.checkCertificate(time.Now())
	d.warnOfMode(info.Mode())
	d.warnOfOverlap(time.Now())
	InvalidError(d.warnings).sort()
	cfg, err = d.result()
	return cfg, d.warnings, err
}

// LoadElsewhere is [Load] for a command other than the server. Whatever only the
// server needs (the certificate, environment variables) may be out of reach.
func LoadElsewhere(path string, flags Flags, checks ...Check) (*Config, error) {
	d, err := load(path, flags, elsewhere, readManaged, checks)
	if err != nil {
		return nil, err
	}
	return d.result()
}

// elsewhere answers for environment variables that only the server has.
func elsewhere(name string) (string, bool) {
	return cmp.Or(os.Getenv(name), "the server's environment has it"), true
}

// Parse is [Load] for a text that is at hand: name stands in the problems,
// relative paths start at its folder, and lookup answers for the environment. It
// touches no file. Its only error is [InvalidError].
func Parse(name string, src []byte, flags Flags, lookup func(string) (string, bool), checks ...Check) (*Config, error) {
	return parse(name, src, flags, lookup, checks).result()
}

func parse(name string, src []byte, flags Flags, lookup func(string) (string, bool), checks []Check) *doc {
	d := newDoc(name, lookup)
	if d.readFile(src, flags) {
		d.translate(checks)
	}
	return d
}

// load reads the operator's file at path, and the managed one by a function.
func load(path string, flags Flags, lookup func(string) (string, bool), managed managedReader, checks []Check) (*doc, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	d := newDoc(path, lookup)
	if d.readFile(src, flags) {
		d.readManaged(managed)
		d.translate(checks)
	}
	return d, nil
}

// readFile reads the operator's file and the flags. It returns false if the file
// holds no settings at all: everything would be reported as missing.
func (d *doc) readFile(src []byte, flags Flags) bool {
	d.file.setDefaults()
	if !d.read(src, &d.file) {
		return false
	}
	d.startPathsAt(filepath.Dir(d.name))
	d.apply(flags)
	return true
}

// translate checks what was read and makes a [Config] of it.
func (d *doc) translate(checks []Check) {
	d.check()
	d.file.Config.Password = d.password()
	d.file.Config.Projects = d.projects()
	d.file.Config.Policies = d.policies()
	d.file.Config.Overrides = d.overrides()
	d.file.Config.Traffic = d.traffic()
	for _, check := range checks {
		d.reportAll(check(&d.file.Config))
	}
}

// startPathsAt makes the paths in the file independent of the working
// directory: otherwise a start from another folder would find another, empty,
// data directory.
func (d *doc) startPathsAt(dir string) {
	f := &d.file
	for _, path := range []*string{&f.DataDir, &f.TLS.Cert, &f.TLS.Key} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

func (d *doc) apply(flags Flags) {
	f := &d.file
	d.set(&f.Listen, flags.Listen, "--listen or TRACKWAY_LISTEN")
	d.set(&f.OpsListen, flags.OpsListen, "--ops-listen or TRACKWAY_OPS_LISTEN")
	d.set(&f.DataDir, flags.DataDir, "--data or TRACKWAY_DATA")
	d.set(&f.Log.Level, flags.LogLevel, "--log-level or TRACKWAY_LOG_LEVEL")
	d.set(&f.Log.Format, flags.LogFormat, "--log-format or TRACKWAY_LOG_FORMAT")
}

// warnOfMode warns if the file holds a secret and users other than its owner
// may read it.
func (d *doc) warnOfMode(mode fs.FileMode) {
	if mode.Perm()&0o077 != 0 && d.file.holdsSecret() {
		d.warnings = append(d.warnings, Problem{File: d.name, Msg: fmt.Sprintf(
			"holds a secret and others may read it (mode %#o): chmod 600, or use secret_sha256 or secret_env", mode.Perm())})
	}
}

// result returns the configuration, or everything that is wrong with it, in the
// order of the files.
func (d *doc) result() (*Config, error) {
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, d.problems
	}
	cfg := d.file.Config // a copy, so that the secrets in the file's other fields are not kept in memory
	return &cfg, nil
}
