// Package config reads the operator's configuration: defaults, then the YAML
// file, then environment variables, then flags, then the keys in the managed
// file. At last it checks the whole. Either the
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
	"time"

	"trackway"
	"trackway/internal/certificate"
	"trackway/internal/clientip"
	"trackway/internal/config/alarming"
	"trackway/internal/config/auditing"
	"trackway/internal/config/membership"
	"trackway/internal/config/owned"
	"trackway/internal/config/scalar"
	"trackway/internal/config/secret"
	"trackway/internal/config/traces"
	"trackway/internal/config/transport"
	"trackway/internal/contract"
	"trackway/internal/people"
	"trackway/internal/people/openid"
)

// Config is a checked configuration. It never changes, so it may be shared; a
// reload creates a new one. Some settings cannot change while the server runs.
type Config struct {
	Listen         string             `yaml:"listen"`     // host:port of the public listener
	OpsListen      string             `yaml:"ops_listen"` // host:port of the operator's listener
	DataDir        string             `yaml:"data_dir"`   // a relative path in the file starts at the file's folder
	Partitions     uint32             `yaml:"partitions"` // how many stores share the projects
	TLS            transport.TLS      `yaml:"tls"`
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
	Audit          auditing.Audit     `yaml:"audit"`

	File      string            // the operator's file; empty if everything is in the environment
	Password  [sha256.Size]byte // SHA-256 of the password for the server's pages; zero: nobody can sign in
	Users     people.List
	Provider  *openid.Settings // that vouches for people; nil: none
	Projects  []trackway.Project
	Policies  []trackway.Policy
	Overrides []trackway.Override
	Traffic   Traffic
	Traces    traces.Traces

	Destinations []Destination

	Alarms alarming.Alarms

	AdminKeys []trackway.Key                 // those of the server, for /api/admin/
	Contracts map[string][]contract.Contract // by the token of a project; only projects that have some
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

// Flags are the settings from the command line, or from the environment
// variables that stand for them. They override the file. An empty one is not
// set.
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
		Partitions:     1,
		Server:         Server{Name: hostname()},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		ClientIPHeader: clientip.XForwardedFor,
		Connections:    Connections{PerAddress: 256},
		TLS:            transport.TLS{ACME: transport.ACME{Directory: certificate.LetsEncrypt}},
		Log:            Log{Level: "info", Format: "text"},
		Audit:          auditing.Defaults(),
	}
}

// hostname returns the host's name, or trackway if that is unknown or not valid
// as a server's name.
func hostname() string {
	name, err := os.Hostname()
	if err != nil || !scalar.IsName(name) {
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
// [fs.ErrNotExist] if there is no file at path, and the environment does not
// replace it.
func Load(path string, flags Flags, checks ...Check) (cfg *Config, warnings []Problem, err error) {
	d, err := load(path, flags, here, owned.Read, checks)
	if err != nil {
		return nil, nil, err
	}
	if d.path != "" {
		info, err := os.Stat(d.path)
		if err != nil {
			return nil, nil, fmt.Errorf("read configuration: %w", err)
		}
		d.warnOfMode(info.Mode())
	}
	d.warnOfUnknown()
	d.file.TLS.CheckCertificate(d.Doc, d.file.publicHost(), time.Now())
	d.warnOfOverlap(time.Now())
	InvalidError(d.Warnings).Sort()
	cfg, err = d.result()
	return cfg, d.Warnings, err
}

// LoadElsewhere is [Load] for commands other than the server. They may not have
// access to what only the server needs: the certificate and the environment
// variables.
func LoadElsewhere(path string, flags Flags, checks ...Check) (*Config, error) {
	d, err := load(path, flags, elsewhere, owned.Read, checks)
	if err != nil {
		return nil, err
	}
	return d.result()
}

// surroundings are what a configuration may name: environment variables, and
// files with credentials.
type surroundings struct {
	lookup     func(name string) (string, bool)
	secretFile func(path string) (string, fs.FileMode, error) // [secret.Read]
	environ    func() []string                                // [os.Environ], for settings
}

// here is what the server has.
var here = surroundings{os.LookupEnv, secret.Read, os.Environ}

// elsewhere stands in for what only the server has.
var elsewhere = surroundings{
	func(name string) (string, bool) {
		return cmp.Or(os.Getenv(name), "the server's environment has it"), true
	},
	func(path string) (string, fs.FileMode, error) {
		text, _, err := secret.Read(path)
		if err != nil {
			text = secret.Unread
		}
		return text, 0, nil
	},
	os.Environ,
}

// Parse is [Load] for a text in memory. Problems refer to it as name, and
// relative paths start at the folder of name. lookup has the variables that the
// text names. Parse reads no other variable, and no file. Its only error is
// [InvalidError].
func Parse(name string, src []byte, flags Flags, lookup func(string) (string, bool), checks ...Check) (*Config, error) {
	return parse(name, src, flags, lookup, checks).result()
}

func parse(name string, src []byte, flags Flags, lookup func(string) (string, bool), checks []Check) *doc {
	d := newDoc(name, surroundings{
		lookup,
		func(string) (string, fs.FileMode, error) { return secret.Unread, 0, nil },
		func() []string { return nil },
	})
	if d.readFile(src, flags) {
		d.translate(checks)
	}
	return d
}

// load reads the operator's file at path, and calls managed for the managed
// file.
func load(path string, flags Flags, from surroundings, managed owned.Reader, checks []Check) (*doc, error) {
	d := newDoc(path, from)
	d.asked = path
	src, err := d.source(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if d.readFile(src, flags) {
		d.readManaged(managed)
		d.adopt()
		d.translate(checks)
	}
	return d, nil
}

// readFile reads the operator's file and the flags. It returns false if the
// file contains no settings at all: otherwise everything would be reported as
// missing.
func (d *doc) readFile(src []byte, flags Flags) bool {
	d.file.SetDefaults()
	if !d.Read(src, &d.file, "") {
		return false
	}
	d.applyVariables()
	d.startPathsAtFile()
	d.apply(flags)
	return true
}

// translate checks what was read and makes a [Config] from it.
func (d *doc) translate(checks []Check) {
	d.check()
	d.file.Config.Password, d.file.Config.Users = d.password(), d.users()
	d.file.Config.Projects, d.file.Config.AdminKeys = d.projects()
	d.file.Config.Provider = d.provider(d.file.Config.Projects)
	d.file.Config.Policies = d.policies()
	d.file.Config.Overrides = d.overrides()
	d.file.Config.Traffic = d.traffic()
	d.file.Config.Traces = d.traces()
	d.file.Config.Destinations = d.destinations()
	d.file.Config.Alarms = d.alarms()
	d.file.Config.Contracts = d.contracts()
	d.checkShared()
	for _, check := range checks {
		d.ReportAll(check(&d.file.Config), d.file.ManagedPath())
	}
}

// startPathsAtFile makes the paths in the file independent of the working
// directory. Otherwise, a start from another folder would use another, empty
// data directory.
func (d *doc) startPathsAtFile() {
	f := &d.file
	for _, path := range append(f.Cluster.Files(), &f.DataDir, &f.TLS.Cert, &f.TLS.Key) {
		*path = d.rooted(path, *path)
	}
}

func (d *doc) apply(flags Flags) {
	f := &d.file
	d.Set(&f.Listen, flags.Listen, "--listen or TRACKWAY_LISTEN")
	d.Set(&f.OpsListen, flags.OpsListen, "--ops-listen or TRACKWAY_OPS_LISTEN")
	d.Set(&f.DataDir, flags.DataDir, "--data or TRACKWAY_DATA")
	d.Set(&f.Log.Level, flags.LogLevel, "--log-level or TRACKWAY_LOG_LEVEL")
	d.Set(&f.Log.Format, flags.LogFormat, "--log-format or TRACKWAY_LOG_FORMAT")
}

// result returns the configuration, or all mistakes in the order of the files.
func (d *doc) result() (*Config, error) {
	if len(d.Problems) > 0 {
		d.Problems.Sort()
		return nil, d.Problems
	}
	cfg := d.file.Config // a copy, so that the secrets in the file's other fields do not stay in memory
	cfg.File = d.path
	return &cfg, nil
}
