package config

import (
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/config/document"
	"trackway/internal/config/mapping"
	"trackway/internal/config/scalar"
)

// The kinds of destinations.
const (
	Postgres   = "postgres"
	ClickHouse = "clickhouse"
	Kafka      = "kafka"
	S3         = "s3"
	File       = "file"
	Webhook    = "webhook"
	Mirror     = "mirror"
)

var kinds = []string{Postgres, ClickHouse, Kafka, S3, File, Webhook, Mirror}

// The values of [Destination.Retention].
const (
	Hold  = "hold"
	LetGo = "let_go"
)

// destination is a section of destinations.
type destination struct {
	Name      string          `yaml:"name"`
	Kind      string          `yaml:"kind"`
	URL       hidden          `yaml:"url"`
	URLEnv    hidden          `yaml:"url_env"` // hidden, as all names below: someone may write a secret here by mistake
	URLFile   hidden          `yaml:"url_file"`
	Path      string          `yaml:"path"`
	Projects  []string        `yaml:"projects"`
	Events    []string        `yaml:"events"`
	Drop      []string        `yaml:"drop"`
	Rename    mapping.Renames `yaml:"rename"`
	Columns   []column        `yaml:"columns"`
	Start     scalar.Start    `yaml:"start"`
	Batch     batch           `yaml:"batch"`
	Paused    bool            `yaml:"paused"`
	Retention string          `yaml:"retention"`
	Hold      scalar.Age      `yaml:"hold"`

	Bucket       string   `yaml:"bucket"`
	Prefix       string   `yaml:"prefix"`
	Format       string   `yaml:"format"`
	Region       string   `yaml:"region"`
	User         string   `yaml:"user"`
	Password     hidden   `yaml:"password"`
	PasswordEnv  hidden   `yaml:"password_env"`
	PasswordFile hidden   `yaml:"password_file"`
	Secret       hidden   `yaml:"secret"`
	SecretEnv    hidden   `yaml:"secret_env"`
	SecretFile   hidden   `yaml:"secret_file"`
	Allow        []string `yaml:"allow"`
	Identifier   string   `yaml:"identifier"`
}

type column struct {
	Type     string `yaml:"type"`
	Property string `yaml:"property"`
	Name     string `yaml:"name"`
	As       string `yaml:"as"`
}

type batch struct {
	Rows  uint32        `yaml:"rows"`
	Bytes scalar.Size   `yaml:"bytes"`
	Every time.Duration `yaml:"every"`
}

func (s *destination) SetDefaults() {
	*s = destination{Start: "beginning", Retention: Hold, Batch: batch{Rows: 10_000, Bytes: 16 << 20, Every: 5 * time.Second}}
}

// Bounds of a batch. Two batches of a destination are in memory at a time.
const (
	mostRows   = 100_000
	leastBytes = 1 << 10
	mostBytes  = 16 << 20
	leastEvery = 10 * time.Millisecond
	mostEvery  = time.Hour
)

func (s *destination) url() forms {
	return forms{"url", &s.URL, nil, &s.URLEnv, &s.URLFile}
}

func (s *destination) password() forms {
	return forms{"password", &s.Password, nil, &s.PasswordEnv, &s.PasswordFile}
}

func (s *destination) secret() forms {
	return forms{"secret", &s.Secret, nil, &s.SecretEnv, &s.SecretFile}
}

// settings says which kinds have a setting. All kinds have the others.
func (s *destination) settings() []kindSetting {
	databases := []string{Postgres, ClickHouse}
	return []kindSetting{
		{"url", s.url().all(), []string{Postgres, ClickHouse, Kafka, S3, Webhook, Mirror}, true},
		{"path", []any{&s.Path}, []string{File}, true},
		{"bucket", []any{&s.Bucket}, []string{S3}, true},
		{"secret", s.secret().all(), []string{Webhook}, true},
		{"columns", []any{&s.Columns}, append(databases, S3, File), false},
		{"prefix", []any{&s.Prefix}, append(databases, S3, Kafka), false},
		{"format", []any{&s.Format}, []string{S3, File}, false},
		{"region", []any{&s.Region}, []string{S3}, false},
		{"user", []any{&s.User}, []string{ClickHouse, Kafka, S3, Mirror}, false},
		{"password", s.password().all(), []string{ClickHouse, Kafka, S3, Mirror}, false},
		{"allow", []any{&s.Allow}, []string{Webhook, Mirror}, false},
		{"identifier", []any{&s.Identifier}, []string{Mirror}, false},
	}
}

// kindSetting is a setting that not all kinds have, in all of its forms.
type kindSetting struct {
	name     string
	forms    []any // addresses
	kinds    []string
	required bool
}

// destinations checks and translates the section.
func (d *doc) destinations() []Destination {
	seen := make(map[string]any)
	var all []Destination
	for i := range d.file.Destinations {
		s := &d.file.Destinations[i]
		d.CheckName(&s.Name, s, "destination")
		if strings.HasPrefix(s.Name, ".") || s.Name == "id" {
			d.report(&s.Name, "cannot be used: the name is that of a folder in the data directory")
		}
		unique(d, seen, &s.Name)
		d.checkKind(s)
		d.checkContent(s)
		all = append(all, d.destination(s))
	}
	return all
}

func (d *doc) checkKind(s *destination) {
	if s.Kind == "" && !d.given(&s.Kind) {
		d.missing(s, "needs a kind, such as postgres or file")
		return
	}
	if document.OneOf(d.Doc, &s.Kind, kinds...); !d.good(&s.Kind) {
		return
	}
	for _, x := range s.settings() {
		given := slices.DeleteFunc(slices.Clone(x.forms), func(at any) bool { return !d.given(at) })
		switch {
		case !slices.Contains(x.kinds, s.Kind):
			for _, at := range given {
				d.report(at, "is not a setting of kind %s", s.Kind)
			}
		case len(given) > 1:
			d.missing(s, "needs one of %s, %s_env and %s_file, not several", x.name, x.name, x.name)
		case x.required && len(given) == 0 && len(x.forms) > 1:
			d.missing(s, "needs a %s, %s_env or %s_file", x.name, x.name, x.name)
		case x.required && len(given) == 0:
			d.missing(s, "needs a %s", x.name)
		}
	}
}

// checkContent checks what is sent, and when.
func (d *doc) checkContent(s *destination) {
	for i := range s.Projects {
		name := &s.Projects[i]
		if !slices.ContainsFunc(d.file.Projects, func(p project) bool { return p.Name == *name }) {
			d.report(name, "is not the name of a project here")
		}
	}
	for i := range s.Events {
		if text := s.Events[i]; strings.Contains(strings.TrimSuffix(text, "*"), "*") || text == "" || len(text) > trackway.MaxTypeBytes {
			d.report(&s.Events[i], "must be a type of events; * may only be at the end, as in page_*")
		}
	}
	for i := range s.Drop {
		mapping.CheckProperty(d.Doc, &s.Drop[i])
	}
	for i := range s.Rename {
		if slices.Contains(s.Drop, s.Rename[i].From) {
			d.report(&s.Rename[i].From, "is dropped: it cannot be renamed, too")
		}
	}
	for i := range s.Columns {
		d.checkColumn(&s.Columns[i])
	}
	d.checkBatch(&s.Batch)
	document.OneOf(d.Doc, &s.Retention, Hold, LetGo)
	if s.Retention == LetGo && d.given(&s.Hold) {
		d.report(&s.Hold, "bounds how long events are held, and retention: let_go holds none")
	}
}

func (d *doc) checkBatch(b *batch) {
	if d.good(&b.Rows) && (b.Rows < 1 || b.Rows > mostRows) {
		d.report(&b.Rows, "must lie between 1 and %d", mostRows)
	}
	if d.good(&b.Bytes) && (b.Bytes < leastBytes || b.Bytes > mostBytes) {
		d.report(&b.Bytes, "must lie between 1KiB and 16MiB: two batches of each destination are in memory at a time")
	}
	if d.good(&b.Every) && (b.Every < leastEvery || b.Every > mostEvery) {
		d.report(&b.Every, "must lie between 10ms and 1h")
	}
}

func (d *doc) checkColumn(c *column) {
	if c.Property == "" {
		d.missing(c, "needs the name of a property")
	}
	if c.As == "" {
		d.missing(c, "needs as, a type such as text, bigint or decimal(12,2)")
	}
}

// destination translates a section. Its own checks have been made.
func (d *doc) destination(s *destination) Destination {
	out := Destination{
		Name: s.Name, Managed: d.Places[s].File == d.file.ManagedPath(), Kind: s.Kind, URL: d.credential(s.url()), Path: d.absolute(&s.Path, s.Path),
		Projects: s.Projects, Events: s.Events, Drop: s.Drop, Start: string(s.Start),
		Rows: int(s.Batch.Rows), Bytes: int(s.Batch.Bytes), Every: s.Batch.Every, Paused: s.Paused,
		Retention: s.Retention, Hold: time.Duration(s.Hold),
		Bucket: s.Bucket, Prefix: s.Prefix, Format: s.Format, Region: s.Region, User: s.User,
		Password: d.credential(s.password()),
		Secret:   d.credential(s.secret()), Allow: s.Allow,
		Identifier: s.Identifier,
	}
	for _, r := range s.Rename {
		if out.Rename == nil {
			out.Rename = make(map[string]string)
		}
		out.Rename[r.From] = r.To
	}
	for _, c := range s.Columns {
		if c.Name == "" {
			c.Name = c.Property
		}
		out.Columns = append(out.Columns, Column(c))
	}
	return out
}
