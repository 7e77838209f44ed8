// Package config reads the operator's configuration: defaults, then the YAML
// file, then flags (and the environment variables that stand for them), then
// the keys in the managed file. At last it checks the whole. Either the
// configuration is right, or the package reports everything that is wrong with
// it at once, with its place. So other packages can use a [Config] without
// checking it again. The package is strict: it refuses settings that it does
// not know. It does not watch files, and it keeps no secrets, only their
// SHA-256 (destinations are the exception: the program presents their secrets).
// It never changes the operator's file. Keys that the program creates are in
// [ManagedFile] ([ChangeKeys]). Package initial writes a first file, and
// package scalar reads single values.
//
// A setting that is used as it is written is one field of Config, with its key
// in the yaml tag and its default in defaults. If not every value is right,
// doc.check has a line for it. Sections that are written in one form and used
// in another (projects, limits, overrides) have a type of their own in file.go,
// and a file of their own that translates them.
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
	"trackway/internal/certificate"
	"trackway/internal/clientip"
	"trackway/internal/config/membership"
)

// Config is a checked configuration. It never changes, so it may be shared; a
// reload creates a new one. Some settings cannot change while the server runs.
type Config struct {
	Listen         string             `yaml:"listen"`     // host:port of the public listener
	OpsListen      string             `yaml:"ops_listen"` // host:port of the operator's listener
	DataDir        string             `yaml:"data_dir"`   // a relative path in the file starts at the file's folder
	TLS            TLS                `yaml:"tls"`
	Server         Server             `yaml:"server"`
	TrustedProxies []netip.Prefix     `yaml:"trusted_proxies"`  // masked; IPv4 never appears as IPv6
	ClientIPHeader string             `yaml:"client_ip_header"` // one of the constants of package clientip
	ProxyProtocol  bool               `yaml:"proxy_protocol"`   // connections from trusted proxies begin with a header
	Servers        []Server           `yaml:"servers"`          // the other servers
	RedirectHosts  []string           `yaml:"redirect_hosts"`   // in lower case; calls to them are redirected
	Contact        Contact            `yaml:"contact"`
	Connections    Connections        `yaml:"connections"` // limits for the public listener
	Memory         Memory             `yaml:"memory"`
	Log            Log                `yaml:"log"`
	Cluster        membership.Cluster `yaml:"cluster"`

	Password  [sha256.Size]byte // SHA-256 of the password for the server's pages; zero: nobody can sign in
	Projects  []trackway.Project
	Policies  []trackway.Policy
	Overrides []trackway.Override
	Traffic   Traffic

	Destinations []Destination
}

// Server describes a tracking server.
type Server struct {
	Name   string `yaml:"name"` // this server's name is by default the host's
	Region string `yaml:"region"`
	URL    string `yaml:"url"` // where clients reach it; may be empty for this server
}

// Contact says whom to ask for a higher limit or about missing data. The guide
// shows it. Both fields may be empty.
type Contact struct {
	Email string `yaml:"email"`
	URL   string `yaml:"url"`
}

// Log says what is logged and in which format.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// SlogLevel returns the level as a [slog.Level].
func (l Log) SlogLevel() slog.Level { return logLevels[l.Level] }

// Logger returns a logger that writes messages of at least the given level to
// w, in the configured format.
func (l Log) Logger(w io.Writer, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// Flags are the settings from the command line and the environment. They
// override the file. An empty one is not set.
type Flags struct {
	Listen    string
	OpsListen string
	DataDir   string // relative to the working directory
	LogLevel  string
	LogFormat string
}

// defaults returns the settings that apply if neither the file nor a flag sets
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
		TLS:            TLS{ACME: ACME{Directory: certificate.LetsEncrypt}},
		Log:            Log{Level: "info", Format: "text"},
	}
}

// hostname returns the host's name, or trackway if that is unknown or not valid
// as a server's name.
func hostname() string {
	name, err := os.Hostname()
	if err != nil || !isName(name) {
		return "trackway"
	}
	return name
}

// Check checks a part of the configuration whose rules belong to another
// package. It returns problems with Field, as in a [Problem], and Msg. Other
// parts of the configuration may be wrong too, and even the part itself.
type Check func(*Config) []Problem

// Load reads the configuration at path: the file and its mode, the certificate
// and the environment variables that it names, and the managed file in its data
// directory. Mistakes are returned as an [InvalidError]. Things that are merely
// unwise are returned as warnings, with or without an error. The error is
// [fs.ErrNotExist] if there is no file at path.
func Load(path string, flags Flags, checks ...Check) (cfg *Config, warnings []Problem, err error) {
	d, err := load(path, flags, here, readManaged, checks)
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

// LoadElsewhere is [Load] for commands other than the server. They may not have
// access to what only the server needs: the certificate and the environment
// variables.
func LoadElsewhere(path string, flags Flags, checks ...Check) (*Config, error) {
	d, err := load(path, flags, elsewhere, readManaged, checks)
	if err != nil {
		return nil, err
	}
	return d.result()
}

// surroundings are what a configuration may name: environment variables, and
// files with credentials.
type surroundings struct {
	lookup     func(name string) (string, bool)
	secretFile func(path string) (string, error)
}

// here is what the server has.
var here = surroundings{os.LookupEnv, readText}

// elsewhere stands in for what only the server has.
var elsewhere = surroundings{
	func(name string) (string, bool) {
		return cmp.Or(os.Getenv(name), "the server's environment has it"), true
	},
	func(path string) (string, error) {
		text, _ := readText(path)
		return cmp.Or(text, "the server reads it"), nil
	},
}

func readText(path string) (string, error) {
	text, err := os.ReadFile(path)
	return string(text), err
}

// Parse is [Load] for a text in memory. Problems refer to it as name, relative
// paths start at the folder of name, and lookup replaces the environment. Parse
// touches no file. Its only error is [InvalidError].
func Parse(name string, src []byte, flags Flags, lookup func(string) (string, bool), checks ...Check) (*Config, error) {
	return parse(name, src, flags, lookup, checks).result()
}

func parse(name string, src []byte, flags Flags, lookup func(string) (string, bool), checks []Check) *doc {
	d := newDoc(name, surroundings{lookup, func(string) (string, error) { return "not read", nil }})
	if d.readFile(src, flags) {
		d.translate(checks)
	}
	return d
}

// load reads the operator's file at path, and calls managed for the managed
// file.
func load(path string, flags Flags, from surroundings, managed managedReader, checks []Check) (*doc, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	d := newDoc(path, from)
	if d.readFile(src, flags) {
		d.readManaged(managed)
		d.translate(checks)
	}
	return d, nil
}

// readFile reads the operator's file and the flags. It returns false if the
// file contains no settings at all: otherwise everything would be reported as
// missing.
func (d *doc) readFile(src []byte, flags Flags) bool {
	d.file.setDefaults()
	if !d.read(src, &d.file) {
		return false
	}
	d.startPathsAt(filepath.Dir(d.name))
	d.apply(flags)
	return true
}

// translate checks what was read and makes a [Config] from it.
func (d *doc) translate(checks []Check) {
	d.check()
	d.file.Config.Password = d.password()
	d.file.Config.Projects = d.projects()
	d.file.Config.Policies = d.policies()
	d.file.Config.Overrides = d.overrides()
	d.file.Config.Traffic = d.traffic()
	d.file.Config.Destinations = d.destinations()
	d.checkAlone()
	for _, check := range checks {
		d.reportAll(check(&d.file.Config))
	}
}

// startPathsAt makes the paths in the file independent of the working
// directory. Otherwise, a start from another folder would use another, empty
// data directory.
func (d *doc) startPathsAt(dir string) {
	f := &d.file
	for _, path := range append(f.Cluster.Files(), &f.DataDir, &f.TLS.Cert, &f.TLS.Key) {
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

// warnOfMode warns if the file contains a secret and other users may read it.
// The group may: it is the server's, if the file belongs to root.
func (d *doc) warnOfMode(mode fs.FileMode) {
	const others, groupWrites = 0o007, 0o020
	if mode.Perm()&(others|groupWrites) != 0 && d.file.holdsSecret() {
		d.warnings = append(d.warnings, Problem{File: d.name, Msg: fmt.Sprintf(
			"holds a secret and others may read it (mode %#o): chmod 640, or use secret_sha256 or secret_env", mode.Perm())})
	}
}

// result returns the configuration, or all mistakes in the order of the files.
func (d *doc) result() (*Config, error) {
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, d.problems
	}
	cfg := d.file.Config // a copy, so that the secrets in the file's other fields do not stay in memory
	return &cfg, nil
}
