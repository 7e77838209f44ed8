// Package config reads what the operator configured: defaults, then the YAML file, then flags (which stand for the
// environment too), then a check of the whole. Its one idea: a configuration is either right, or each thing that is wrong
// with it is said at once, with its place in the file, so that a [Config] can be used without a further look. It is strict:
// what it does not know, it refuses. It does not watch the file, keep secrets (only their SHA-256), or write a
// configuration, except for the first one ([Init]); internal/config/edit changes the keys in one.
//
// A setting that is used as it is written is one field of Config, with its key in the yaml tag, its default in defaults, and,
// where not every value is right, a line in doc.check. Sections that are written in another form than they are used in
// (projects, limits, overrides) have a form of their own in file.go and their translation in a file of their own.
package config

import (
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

// Config is a checked configuration. It is not changed once it is made, so that it may be shared; a reload makes another.
// Not all of it can change while the server runs (see [CheckReload]).
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

// TLS names the files, in PEM, of the public listener's certificate and its key. Both are empty where it speaks plain HTTP.
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

// Contact is whom the guide names for asking for a higher limit or for missing data. Both may be empty.
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

// Logger returns a logger that writes to w, in l's format, what level lets through.
func (l Log) Logger(w io.Writer, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// Flags are the settings that the command line and the environment may give. They win over the file; an empty one is not
// given.
type Flags struct {
	Listen    string
	OpsListen string
	DataDir   string // relative to the working directory
	LogLevel  string
	LogFormat string
}

// defaults returns the settings that hold where neither the file nor a flag says otherwise.
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

// hostname returns the host's name, or trackway where that cannot be had or would not do as a server's name.
func hostname() string {
	name, err := os.Hostname()
	if err != nil || !isName(name) {
		return "trackway"
	}
	return name
}

// Check looks at a part of the configuration whose rules are another package's, and returns what is wrong: Field, as it is
// in a [Problem], and Msg. The rest of the configuration, and of that part, may be wrong, too.
type Check func(*Config) []Problem

// Load reads the configuration at path: the file, its mode, the certificate it names, and the environment variables that
// its keys name. What is wrong with it comes as [InvalidError], what is merely unwise as warnings, which are returned whatever
// err is. A file that is not there is [fs.ErrNotExist].
func Load(path string, flags Flags, checks ...Check) (cfg *Config, warnings []Problem, err error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	d := parse(path, src, flags, os.LookupEnv, checks)
	d.checkCertificate(time.Now())
	d.warnOfMode(info.Mode())
	d.warnOfOverlap(time.Now())
	InvalidError(d.warnings).sort()
	cfg, err = d.result()
	return cfg, d.warnings, err
}

// Parse is [Load] for a text that is at hand: name stands in the problems, relative paths start at its folder, and lookup
// answers for the environment. It touches no file. It never fails in another way than with [InvalidError].
func Parse(name string, src []byte, flags Flags, lookup func(string) (string, bool), checks ...Check) (*Config, error) {
	return parse(name, src, flags, lookup, checks).result()
}

func parse(name string, src []byte, flags Flags, lookup func(string) (string, bool), checks []Check) *doc {
	d := newDoc(name)
	d.file.setDefaults()
	if !d.read(src) {
		return d // all else would be said to be missing
	}
	d.startPathsAt(filepath.Dir(name))
	d.apply(flags)
	d.check()
	d.file.Config.Password = d.password(lookup)
	d.file.Config.Projects = d.projects(lookup)
	d.file.Config.Policies = d.policies()
	d.file.Config.Overrides = d.overrides()
	d.file.Config.Traffic = d.traffic()
	for _, check := range checks {
		d.reportAll(check(&d.file.Config))
	}
	return d
}

// startPathsAt makes the paths that stand in the file independent of where the server is started: another folder must not
// mean another, empty, data directory.
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

// warnOfMode warns of a file with secrets that others than its owner may read.
func (d *doc) warnOfMode(mode fs.FileMode) {
	if mode.Perm()&0o077 != 0 && d.file.holdsSecret() {
		d.warnings = append(d.warnings, Problem{File: d.name, Msg: fmt.Sprintf(
			"holds a secret and others may read it (mode %#o): chmod 600, or use secret_sha256 or secret_env", mode.Perm())})
	}
}

// result returns the configuration, or all that is wrong with it, in the order of the file.
func (d *doc) result() (*Config, error) {
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, d.problems
	}
	cfg := d.file.Config // a copy, so that the secrets in the file's other fields are not kept in memory
	return &cfg, nil
}
