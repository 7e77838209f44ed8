package alarming

import (
	"net"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Section is the section as it is written. H is the type of texts that no
// message shows.
type Section[H ~string] struct {
	Zone      string        `yaml:"zone"`
	Receivers []Receives[H] `yaml:"receivers"`
	Rules     []Rule        `yaml:"rules"`
}

// Receives is a receiver as it is written.
type Receives[H ~string] struct {
	Name    string   `yaml:"name"`
	Kind    string   `yaml:"kind"`
	URL     H        `yaml:"url"`
	URLEnv  H        `yaml:"url_env"` // hidden, as all names below: someone may write a secret here by mistake
	URLFile H        `yaml:"url_file"`
	Allow   []string `yaml:"allow"`

	Secret     H `yaml:"secret"`
	SecretEnv  H `yaml:"secret_env"`
	SecretFile H `yaml:"secret_file"`

	Server       string   `yaml:"server"`
	TLS          string   `yaml:"tls"`
	CA           string   `yaml:"ca"`
	User         string   `yaml:"user"`
	Password     H        `yaml:"password"`
	PasswordEnv  H        `yaml:"password_env"`
	PasswordFile H        `yaml:"password_file"`
	From         string   `yaml:"from"`
	To           []string `yaml:"to"`
}

// Reporter checks values and reports problems with them, each by the address of
// a value. It knows the names in the rest of the configuration.
type Reporter[H ~string] struct {
	Given           func(at any) bool                             // the configuration sets the value
	Report, Missing func(at any, format string, args ...any)      // a wrong value; what a section lacks
	Name            func(name *string, section any, thing string) // checks a name that is required
	Absolute        func(path *string) string
	Secret          func(name string, text, env, file *H) string // the secret that one of its forms gives

	Projects, Destinations, Policies []string
}

// Check checks the section, and returns it as the server uses it.
func (s *Section[H]) Check(d Reporter[H]) Alarms {
	out := Alarms{Rules: Usual()}
	if s.Zone != "" {
		if _, err := time.LoadLocation(s.Zone); err != nil || s.Zone == "Local" {
			d.Report(&s.Zone, "must be a time zone, such as Europe/Berlin")
		}
		out.Zone = s.Zone
	}
	if d.Given(&s.Rules) {
		out.Rules = d.rules(s.Rules)
		if len(s.Rules) > mostRules {
			d.Report(&s.Rules, "must have at most %d rules", mostRules)
		}
	}
	if len(s.Receivers) > mostReceivers {
		d.Report(&s.Receivers, "must have at most %d receivers", mostReceivers)
	}
	seen := make(map[string]bool)
	for i := range s.Receivers {
		r := &s.Receivers[i]
		d.Name(&r.Name, r, "receiver")
		if r.Name != "" && seen[r.Name] {
			d.Report(&r.Name, "is the name of another receiver, too")
		}
		seen[r.Name] = true
		out.Receivers = append(out.Receivers, d.receiver(r))
	}
	return out
}

func (d Reporter[H]) rules(rules []Rule) []Rule {
	out := make([]Rule, len(rules))
	for i := range rules {
		out[i] = d.rule(&rules[i])
	}
	return out
}

// rule checks a rule, and returns it with the usual values in place of those
// that are not given.
func (d Reporter[H]) rule(r *Rule) Rule {
	if r.Kind == "" && !d.Given(&r.Kind) {
		d.Missing(r, "needs a kind, such as %s", Silence)
		return *r
	}
	if !slices.Contains(Kinds(), r.Kind) {
		d.Report(&r.Kind, "must be one of %s", strings.Join(Kinds(), ", "))
		return *r
	}
	by, out := UsualOf(r.Kind), *r
	of := func(at any, has bool) bool {
		if d.Given(at) && !has {
			d.Report(at, "is not a setting of kind %s", r.Kind)
		}
		return d.Given(at)
	}
	named := func(at *string, has bool, among []string, what string) {
		if of(at, has) && has && !slices.Contains(among, *at) {
			d.Report(at, "is not the name of a %s here", what)
		}
	}
	named(&r.Project, r.Kind == Silence || r.OfProject(), d.Projects, "project")
	named(&r.Destination, r.Kind == DestinationLags || r.Kind == DestinationStopped, d.Destinations, "destination")
	named(&r.Policy, r.Kind == LimitRefuses || r.Kind == LimitNear, d.Policies, "limit")
	if of(&r.Type, r.Kind == Silence) && r.Type == "" {
		d.Report(&r.Type, "must be a type of events, or %q for each of them", Every)
	}
	number(&out.Percent, &r.Percent, by.Percent, of, func() bool { return r.Percent < 1 || r.Percent > 100 }, d, "must lie between 1 and 100")
	number(&out.Least, &r.Least, by.Least, of, func() bool { return r.Least < 1 }, d, "must be at least 1")
	number(&out.Weeks, &r.Weeks, by.Weeks, of, func() bool { return r.Weeks < 1 || r.Weeks > mostWeeks }, d, "must lie between 1 and 12")
	number(&out.Age, &r.Age, by.Age, of, func() bool { return r.Age < time.Second || r.Age > mostTime }, d, "must lie between 1s and 87600h")
	d.wait(&out.For, r, by.For, of)
	return out
}

// wait checks for how long an alarm waits before it rings. Those about silence,
// which is about whole hours, and about the past do not wait.
func (d Reporter[H]) wait(out *time.Duration, r *Rule, usual time.Duration, of func(at any, has bool) bool) {
	switch waits := r.Kind != Silence && r.Kind != WasDown; {
	case !of(&r.For, waits):
		*out = usual
	case r.For < 0 || r.For > mostTime:
		d.Report(&r.For, "must lie between 0s and 87600h")
	}
}

// number checks a setting that exists for a kind if its usual value is not 0.
func number[T uint32 | time.Duration, H ~string](
	out, at *T, usual T, of func(at any, has bool) bool, wrong func() bool, d Reporter[H], msg string,
) {
	switch {
	case !of(at, usual != 0):
		*out = usual
	case usual != 0 && wrong():
		d.Report(at, "%s", msg)
	}
}

// receiver checks and translates a receiver.
func (d Reporter[H]) receiver(r *Receives[H]) Receiver {
	if r.Kind == "" && !d.Given(&r.Kind) {
		d.Missing(r, "needs a kind: webhook, slack, teams or mail")
		return Receiver{}
	}
	if kinds := []string{Webhook, Slack, Teams, Mail}; !slices.Contains(kinds, r.Kind) {
		d.Report(&r.Kind, "must be webhook, slack, teams or mail")
		return Receiver{}
	}
	web, mailed := []string{Webhook, Slack, Teams}, []string{Mail}
	d.setting(r, "url", web, true, &r.URL, &r.URLEnv, &r.URLFile)
	d.setting(r, "secret", []string{Webhook}, true, &r.Secret, &r.SecretEnv, &r.SecretFile)
	d.setting(r, "allow", web, false, &r.Allow)
	d.setting(r, "server", mailed, true, &r.Server)
	d.setting(r, "tls", mailed, false, &r.TLS)
	d.setting(r, "ca", mailed, false, &r.CA)
	d.setting(r, "user", mailed, false, &r.User)
	d.setting(r, "password", mailed, false, &r.Password, &r.PasswordEnv, &r.PasswordFile)
	d.setting(r, "from", mailed, true, &r.From)
	d.setting(r, "to", mailed, true, &r.To)
	if r.Kind == Mail {
		d.mail(r)
	}
	return Receiver{
		Name: r.Name, Kind: r.Kind, Allow: r.Allow, Server: r.Server, TLS: r.TLS, CA: d.Absolute(&r.CA), User: r.User, From: r.From, To: r.To,
		URL:      d.Secret("url", &r.URL, &r.URLEnv, &r.URLFile),
		Secret:   d.Secret("secret", &r.Secret, &r.SecretEnv, &r.SecretFile),
		Password: d.Secret("password", &r.Password, &r.PasswordEnv, &r.PasswordFile),
	}
}

// setting checks that a setting, in one of its forms, is given if and only if
// the receiver's kind has it.
func (d Reporter[H]) setting(r *Receives[H], name string, kinds []string, required bool, forms ...any) {
	given := slices.DeleteFunc(slices.Clone(forms), func(at any) bool { return !d.Given(at) })
	switch {
	case !slices.Contains(kinds, r.Kind):
		for _, at := range given {
			d.Report(at, "is not a setting of kind %s", r.Kind)
		}
	case len(given) > 1:
		d.Missing(r, "needs one of %s, %[1]s_env and %[1]s_file, not several", name)
	case required && len(given) == 0 && len(forms) > 1:
		d.Missing(r, "needs a %s, %[1]s_env or %[1]s_file", name)
	case required && len(given) == 0:
		d.Missing(r, "needs %s", name)
	}
}

// mail checks the settings of a receiver of mail.
func (d Reporter[H]) mail(r *Receives[H]) {
	host, port, err := net.SplitHostPort(r.Server)
	if d.Given(&r.Server) && (err != nil || host == "" || port == "" || strings.ContainsFunc(r.Server, unicode.IsSpace)) {
		d.Report(&r.Server, "must be host:port, such as smtp.example.com:587")
	}
	if !d.Given(&r.TLS) {
		r.TLS = StartTLS
	}
	ip, notAddress := netip.ParseAddr(host)
	local := host == "localhost" || notAddress == nil && ip.IsLoopback()
	switch {
	case !slices.Contains([]string{StartTLS, Implicit, NoTLS}, r.TLS):
		d.Report(&r.TLS, "must be starttls, implicit or none")
	case r.TLS == NoTLS && !local:
		d.Report(&r.TLS, "may be none only for a server on this host, such as localhost:25")
	}
	password := d.Given(&r.Password) || d.Given(&r.PasswordEnv) || d.Given(&r.PasswordFile)
	if password != d.Given(&r.User) {
		d.Missing(r, "needs both user and password, or neither")
	}
	if d.Given(&r.From) && !isAddress(r.From) {
		d.Report(&r.From, "must be an address such as trackway@example.com")
	}
	if d.Given(&r.To) && (len(r.To) == 0 || len(r.To) > mostTo) {
		d.Report(&r.To, "must have 1 to %d addresses", mostTo)
	}
	for i := range r.To {
		if !isAddress(r.To[i]) {
			d.Report(&r.To[i], "must be an address such as ops@example.com")
		}
	}
}

// isAddress reports whether a text is an address of mail, without a name.
func isAddress(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text && !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' })
}
