package config

import (
	"time"

	"trackway"
	"trackway/internal/config/alarming"
	"trackway/internal/config/contracts"
	"trackway/internal/config/mapping"
	"trackway/internal/config/oidc"
	"trackway/internal/config/scalar"
	"trackway/internal/config/traces"
)

// file is the YAML file: the settings that are used as they are written, and
// the sections that must be translated.
type file struct {
	Config    `yaml:",inline"`
	Dashboard dashboard      `yaml:"dashboard"`
	Projects  []project      `yaml:"projects"`
	Limits    []policy       `yaml:"limits"`
	Overrides []override     `yaml:"overrides"`
	Traffic   traffic        `yaml:"traffic"`
	Traces    traces.Section `yaml:"traces"`

	Destinations []destination `yaml:"destinations"`

	Alarms alarming.Section[hidden] `yaml:"alarms"`

	AdminKeys []key `yaml:"admin_keys"`
}

type dashboard struct {
	Password       hidden `yaml:"password"`
	PasswordSHA256 hidden `yaml:"password_sha256"`
	PasswordEnv    hidden `yaml:"password_env"` // hidden, because someone may write a password here by mistake
	PasswordFile   hidden `yaml:"password_file"`
	UsersOnly      bool   `yaml:"users_only"`

	OIDC oidc.Section `yaml:"oidc"`
}

type project struct {
	Name        string            `yaml:"name"`
	Token       string            `yaml:"token"`
	StreamID    string            `yaml:"stream_id"`
	Legacy      bool              `yaml:"legacy"`
	Identifiers identifiers       `yaml:"identifiers"`
	Attributes  attributes        `yaml:"opentelemetry"`
	Personal    []string          `yaml:"personal"`
	Consents    []consentCategory `yaml:"consent_categories"`
	Retention   retention         `yaml:"retention"`
	Bots        bots              `yaml:"bots"`
	Keys        []key             `yaml:"keys"`
	Contracts   contracts.Section `yaml:"contracts"`
}

// attributes are the names of attributes that hold ids. Nil: the usual ones.
type attributes struct {
	User   []string `yaml:"user"`
	Device []string `yaml:"device"`
}

type retention struct {
	Default scalar.Age    `yaml:"default"`
	Events  mapping.ByAge `yaml:"events"`
}

type identifiers struct {
	Hard   []string `yaml:"hard"`
	Soft   []string `yaml:"soft"`
	Nobody []string `yaml:"nobody"`
	User   string   `yaml:"user"`   // by default registered, or else the first of Hard
	Device string   `yaml:"device"` // by default cookie, or else the first of Soft
}

type key struct {
	Name         string           `yaml:"name"`
	Kind         trackway.KeyKind `yaml:"kind"`
	Token        hidden           `yaml:"token"`
	ID           string           `yaml:"id"`
	Secret       hidden           `yaml:"secret"`
	SecretSHA256 hidden           `yaml:"secret_sha256"`
	SecretEnv    hidden           `yaml:"secret_env"` // hidden, because someone may write a secret here by mistake
	SecretFile   hidden           `yaml:"secret_file"`

	PreviousToken        hidden    `yaml:"previous_token"`
	PreviousSecretSHA256 hidden    `yaml:"previous_secret_sha256"`
	PreviousUntil        time.Time `yaml:"previous_until"`

	Permissions []string `yaml:"permissions"`
}

// presented returns what clients present of the key: a public key's token, or a
// private key's id. It is unique among all keys.
func (k *key) presented() string {
	if k.Kind == trackway.PublicKey {
		return string(k.Token)
	}
	return k.ID
}

type consentCategory struct {
	ID                 string `yaml:"id"`
	Name               string `yaml:"name"` // by default the id
	Description        string `yaml:"description"`
	LegitimateInterest bool   `yaml:"legitimate_interest"`
}

// policy is a limit. Its defaults are set before it is read.
type policy struct {
	trackway.Policy `yaml:",inline"`
}

// override is an override, which may have a name.
type override struct {
	Name              string `yaml:"name"`
	trackway.Override `yaml:",inline"`
}

// SetDefaults sets the defaults of the file's own sections. A list in the file
// replaces its default list as a whole. The default limits are the published
// rates.
func (f *file) SetDefaults() {
	f.Config = defaults()
	for _, p := range []trackway.Policy{
		{Name: "track", Paths: []string{"/track/", "/data/v2/projects/*/consent/categories"}, Limit: 6000, Window: time.Minute},
		{Name: "api", Paths: []string{"/api/", "/data/"}, Limit: 30, Window: 30 * time.Second, Per: trackway.PerIPPath},
		{Name: "grid", Paths: []string{"/grid/"}, Limit: 15, Window: 30 * time.Second, NoLooserThan: "api"},
		{Name: "signin", Paths: []string{"POST /grid/session"}, Limit: 5, Window: time.Minute},
	} {
		limit := policy{p}
		limit.SetDefaults()
		f.Limits = append(f.Limits, limit)
	}
	f.Traffic.SetDefaults()
	f.Traces.SetDefaults()
}

func (p *project) SetDefaults() {
	p.Identifiers = identifiers{Hard: []string{usualUser}, Soft: []string{usualDevice}, Nobody: usualNobody()}
	p.Bots = usualBots()
}

// usualNobody returns the texts that common clients send as an identifier if
// they have none.
func usualNobody() []string {
	return []string{"null", "undefined", "none", "nil", "nan", "(null)", "[object object]", "0"}
}

func (p *policy) SetDefaults() {
	if p.Per == "" {
		p.Per = trackway.PerIP
	}
	p.Algorithm = trackway.Fixed
	p.Mode = trackway.Enforce
	p.IPv6Prefix = 64
	p.IPv6Wide = trackway.IPv6Wide{Prefix: 48, Times: 16}
}
