package config

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"trackway"
	"trackway/internal/config/document"
)

// uuid matches a project's token (RFC 9562 section 4), in either letter case.
var uuid = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// keyring checks and translates projects and keys. It remembers what must be
// unique among all of them.
type keyring struct {
	*doc
	names, tokens, ids map[string]any
}

func (d *doc) projects() (projects []trackway.Project, server []trackway.Key) {
	f := &d.file
	if len(f.Projects) == 0 { // a file that was cut to nothing must not end all tracking on a reload
		d.report(&f.Projects, "needs at least one project")
	}
	d.holders = d.mergeKeys()
	r := keyring{d, make(map[string]any), make(map[string]any), make(map[string]any)}
	for i := range f.Projects {
		projects = append(projects, r.project(&f.Projects[i]))
	}
	for i := range d.holders {
		h, names := &d.holders[i], make(map[string]any)
		for _, k := range h.keys {
			h.translated = append(h.translated, r.key(k, names))
			if i == len(f.Projects) {
				r.checkServerKey(k)
			}
		}
	}
	for i := range projects {
		projects[i].Keys = d.holders[i].translated
	}
	return projects, d.holders[len(f.Projects)].translated
}

func (r keyring) project(p *project) trackway.Project {
	r.CheckName(&p.Name, p, "project")
	unique(r.doc, r.names, &p.Name)
	p.Token = strings.ToLower(p.Token)
	switch {
	case !r.given(&p.Token):
		r.missing(p, "needs a token: a UUID, which names the project in the API's paths")
	case !uuid.MatchString(p.Token):
		r.report(&p.Token, "must be a UUID, such as 12345678-1234-1234-1234-123456789abc")
	}
	unique(r.doc, r.tokens, &p.Token)
	if p.StreamID != "" {
		unique(r.doc, r.tokens, &p.StreamID) // a token names a stream, too
	}
	if strings.ContainsAny(p.StreamID, " /?&#%") {
		r.report(&p.StreamID, "must not have spaces or any of / ? & # %%, because it is a part of URLs")
	}
	r.checkIdentifiers(p)
	r.checkAttributes(&p.Attributes)
	r.checkPersonal(p.Personal)
	return trackway.Project{
		Name: p.Name, Token: p.Token, Hard: p.Identifiers.Hard, Soft: p.Identifiers.Soft, Nobody: p.Identifiers.Nobody, Personal: p.Personal,
		User: r.roleOf(&p.Identifiers.User, p.Identifiers.Hard, usualUser, "hard"), Device: r.roleOf(&p.Identifiers.Device, p.Identifiers.Soft, usualDevice, "soft"),
		UserAttributes: p.Attributes.User, DeviceAttributes: p.Attributes.Device,
		StreamID: p.StreamID, Legacy: p.Legacy,
		Consents: r.consents(p.Consents),
		Keep:     r.retention(&p.Retention),
		Bots:     r.bots(p),
	}
}

func (r keyring) checkIdentifiers(p *project) {
	ids := &p.Identifiers
	if len(ids.Hard)+len(ids.Soft) == 0 && r.good(&ids.Hard, &ids.Soft, ids) {
		r.report(ids, "needs at least one identifier, hard or soft")
	}
	seen := make(map[string]any)
	for _, list := range [][]string{ids.Hard, ids.Soft} {
		for i := range list {
			r.CheckName(&list[i], ids, "identifier")
			r.checkIdentifier(seen, &list[i])
		}
	}
	r.checkNobody(ids)
}

// The identifiers of a project that configures none.
const (
	usualUser   = "registered"
	usualDevice = "cookie"
)

// roleOf returns which of some identifiers holds the user's or the device's id
// of another product's clients: the configured one, or else the usual one, or
// else the first.
func (r keyring) roleOf(at *string, of []string, usual, kind string) string {
	switch {
	case *at != "" && !slices.Contains(of, *at):
		r.report(at, "must be one of the project's %s identifiers", kind)
		return ""
	case *at != "":
		return *at
	case slices.Contains(of, usual):
		return usual
	case len(of) > 0:
		return of[0]
	}
	return ""
}

// mostNobody limits the texts that stand for nobody: each incoming identifier
// is compared with all of them.
const mostNobody = 100

func (r keyring) checkNobody(ids *identifiers) {
	if len(ids.Nobody) > mostNobody {
		r.report(&ids.Nobody, "may list at most %d texts", mostNobody)
	}
	for i := range ids.Nobody {
		at := &ids.Nobody[i]
		switch {
		case *at == "":
			r.report(at, "must not be empty: an empty value identifies nobody anyway")
		case *at != strings.TrimSpace(*at), len(*at) > trackway.MaxIDBytes:
			r.report(at, "must have 1 to %d bytes and no white space around them, as identifiers have", trackway.MaxIDBytes)
		}
		if first := slices.IndexFunc(ids.Nobody[:i], func(other string) bool { return strings.EqualFold(other, *at) }); first >= 0 {
			r.report(at, "occurs twice: letter case does not matter")
		}
	}
}

// checkIdentifier refuses a repeated name, including one that repeats a
// default.
func (r keyring) checkIdentifier(seen map[string]any, at *string) {
	before, ok := seen[*at]
	switch {
	case !ok:
		seen[*at] = at
	case !r.given(at):
		r.report(before, "is a soft identifier by default: write soft, too")
	case !r.given(before):
		r.report(at, "is a hard identifier by default: write hard, too")
	default:
		unique(r.doc, seen, at)
	}
}

// checkAttributes checks the names of attributes that hold ids.
func (r keyring) checkAttributes(a *attributes) {
	seen := make(map[string]any)
	for _, list := range []*[]string{&a.User, &a.Device} {
		if len(*list) > trackway.MaxIDAttributes {
			r.report(list, "may list at most %d attributes", trackway.MaxIDAttributes)
		}
		for i := range *list {
			at := &(*list)[i]
			switch {
			case *at == "", len(*at) > trackway.MaxNameBytes:
				r.report(at, "must name an attribute in 1 to %d bytes", trackway.MaxNameBytes)
			case slices.Contains([]string{"event.name", "log.record.uid"}, *at):
				r.report(at, "is the name or the id of an event")
			}
			unique(r.doc, seen, at)
		}
	}
}

func (r keyring) checkPersonal(names []string) {
	seen := make(map[string]any)
	for i := range names {
		if n := len(names[i]); n == 0 || n > trackway.MaxNameBytes {
			r.report(&names[i], "must name a property in 1 to %d bytes", trackway.MaxNameBytes)
		}
		unique(r.doc, seen, &names[i])
	}
}

func (r keyring) key(k *key, names map[string]any) trackway.Key {
	r.CheckName(&k.Name, k, "key")
	unique(r.doc, names, &k.Name)
	domain := trackway.Key{Name: k.Name, Kind: k.Kind}
	switch {
	case !r.given(&k.Kind):
		r.missing(k, "needs a kind: public or private")
	case k.Kind == trackway.PublicKey:
		domain.ID = r.publicID(k)
	case k.Kind == trackway.PrivateKey:
		domain.ID = r.privateID(k)
		domain.Secret = r.secret(k)
	default:
		document.OneOf(r.Doc, &k.Kind, trackway.PublicKey, trackway.PrivateKey)
	}
	r.previous(k, &domain)
	domain.Permissions = r.permissions(k)
	return domain
}

// checkServerKey checks a key of the server, for the admin API.
func (r keyring) checkServerKey(k *key) {
	if k.Kind == trackway.PublicKey {
		r.report(&k.Kind, "must be private: everybody can see a public key")
	}
	if r.given(&k.Permissions) {
		r.report(&k.Permissions, "is for keys of a project; a key of the server may change the configuration, and nothing else")
	}
}

func (r keyring) publicID(k *key) string {
	for _, at := range []any{&k.ID, &k.Secret, &k.SecretSHA256, &k.SecretEnv, &k.SecretFile} {
		if r.given(at) {
			r.conceal(at) // someone who mixes up the kinds may write anything here
			r.report(at, "belongs to a private key; a public one has a token only")
		}
	}
	switch {
	case !r.given(&k.Token):
		r.missing(k, "needs a token")
	case !isToken(string(k.Token)):
		r.report(&k.Token, "must be 1 to 256 printable ASCII characters without spaces")
	case len(k.Token) < shortToken:
		r.warn(&k.Token, fmt.Sprintf("has fewer than %d characters and can be guessed by accident: use a random one", shortToken))
	}
	unique(r.doc, r.ids, &k.Token)
	return string(k.Token)
}

func (r keyring) privateID(k *key) string {
	if r.given(&k.Token) {
		r.report(&k.Token, "belongs to a public key; a private one has an id and a secret")
	}
	switch {
	case !r.given(&k.ID):
		r.missing(k, "needs an id")
	case !isToken(k.ID) || strings.Contains(k.ID, ":"): // RFC 7617 section 2: a colon ends the id
		r.conceal(&k.ID) // it may be id:secret
		r.report(&k.ID, "must be 1 to 256 printable ASCII characters without spaces and colons")
	}
	unique(r.doc, r.ids, &k.ID)
	return k.ID
}

// secret returns the SHA-256 of a private key's secret.
func (r keyring) secret(k *key) [sha256.Size]byte {
	f := forms{"secret", &k.Secret, &k.SecretSHA256, &k.SecretEnv, &k.SecretFile}
	if f.given(r.doc) != 1 {
		r.missing(k, "needs exactly one of %s", f)
		return [sha256.Size]byte{}
	}
	return r.sumOf(f)
}
