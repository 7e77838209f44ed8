// Package oidc is the section of the configuration that has a provider of
// OpenID Connect vouch for people.
package oidc

import (
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"trackway"
	"trackway/internal/config/document"
	"trackway/internal/config/scalar"
	"trackway/internal/people"
	"trackway/internal/people/openid"
)

// Section is the section as it is written.
type Section struct {
	Issuer           string          `yaml:"issuer"`
	ClientID         string          `yaml:"client_id"`
	ClientSecret     document.Hidden `yaml:"client_secret"`
	ClientSecretEnv  document.Hidden `yaml:"client_secret_env"`
	ClientSecretFile document.Hidden `yaml:"client_secret_file"`
	Name             string          `yaml:"name"`
	Scopes           []string        `yaml:"scopes"`
	NameClaim        Path            `yaml:"name_claim"`
	GroupsClaim      Path            `yaml:"groups_claim"`
	Groups           []Group         `yaml:"groups"`
}

// Group gives the members of a group a role, in all projects or in some.
type Group struct {
	Group    string      `yaml:"group"`
	Role     people.Role `yaml:"role"`
	Projects []string    `yaml:"projects"` // names or tokens; nil: all
}

// Path is where a claim is: its name, or a list of names, each within the one
// before. A name is never cut at its dots, so there is no second way to read
// it.
type Path []string

// DecodeYAML implements [document.Decoder].
func (p *Path) DecodeYAML(d *document.Doc, n ast.Node, _ string) {
	nodes := []ast.Node{n}
	if list, ok := n.(*ast.SequenceNode); ok {
		nodes = list.Values
	}
	*p = nil
	for _, n := range nodes {
		name, ok := scalar.Text(n)
		if !ok || name == "" {
			*p = nil
			break
		}
		*p = append(*p, name)
	}
	const most = 10
	if len(*p) == 0 || len(*p) > most {
		d.Report(p, "must be the name of a claim, such as groups, or a list of names, each within the one before, such as [realm_access, roles]")
	}
}

// Bounds of the section.
const (
	mostName   = 50 // characters
	mostText   = 512
	mostGroups = 500
)

// Check checks the section and returns it without the secret, which may be
// elsewhere. Only a section that is given is checked.
func (s *Section) Check(d *document.Doc, projects []trackway.Project) openid.Settings {
	out := openid.Settings{
		Issuer: s.Issuer, ClientID: s.ClientID, Name: s.Name, Scopes: s.Scopes, NameClaim: s.NameClaim, GroupsClaim: s.GroupsClaim,
	}
	host := s.issuer(d)
	switch {
	case s.ClientID == "" && !d.Given(&s.ClientID):
		d.Missing(s, "needs client_id, by which the provider knows this server")
	case !oneWord(s.ClientID):
		d.Report(&s.ClientID, "must be the id that the provider has given to this server, without spaces")
	}
	if !d.Given(&s.Name) {
		out.Name = host
	} else if !line(s.Name, mostName) {
		d.Report(&s.Name, "must be the provider's name for people, in one line of 1 to %d characters", mostName)
	}
	if !d.Given(&s.Scopes) {
		out.Scopes = []string{"openid", "profile", "email"}
	} else if !slices.Contains(s.Scopes, "openid") || slices.ContainsFunc(s.Scopes, func(text string) bool { return !oneWord(text) }) {
		d.Report(&s.Scopes, "must be a list of scopes with openid, such as [openid, profile, email, groups]")
	}
	if !d.Given(&s.GroupsClaim) {
		out.GroupsClaim = []string{"groups"}
	}
	switch n := len(s.Groups); {
	case n == 0:
		d.Missing(s, "needs groups: without one that has a role, nobody gets in")
	case n > mostGroups:
		d.Report(&s.Groups, "must be at most %d groups", mostGroups)
	}
	for i := range s.Groups {
		out.Groups = append(out.Groups, s.Groups[i].check(d, projects))
	}
	return out
}

// issuer checks the issuer and returns its host.
func (s *Section) issuer(d *document.Doc) (host string) {
	if s.Issuer == "" && !d.Given(&s.Issuer) {
		d.Missing(s, "needs issuer, the URL of the provider")
		return ""
	}
	u, err := url.Parse(s.Issuer)
	if strings.Contains(s.Issuer, "@") {
		d.Conceal(&s.Issuer) // it may have a password
	}
	if err != nil || !openid.Good(u) || u.RawQuery != "" || u.ForceQuery {
		d.Report(&s.Issuer, "must be the URL of the provider, as it calls itself: https, and without a query, such as https://login.example.com/realms/company")
		return ""
	}
	return u.Hostname()
}

// check checks a group and returns it with its roles.
func (g *Group) check(d *document.Doc, projects []trackway.Project) openid.Group {
	out := openid.Group{Name: g.Group}
	switch {
	case g.Group == "" && !d.Given(&g.Group):
		d.Missing(g, "needs a group, as the provider calls it")
	case !line(g.Group, mostText):
		d.Report(&g.Group, "must be the name of a group, in one line of 1 to %d characters", mostText)
	}
	switch {
	case g.Role == "" && !d.Given(&g.Role):
		d.Missing(g, "needs a role: viewer, analyst, operator or admin")
		return out
	case !slices.Contains(people.Roles(), g.Role):
		d.Report(&g.Role, "must be viewer, analyst, operator or admin")
		return out
	case g.Role == people.Admin && d.Given(&g.Projects):
		d.Report(&g.Projects, "must be left out for an admin, who manages the users of all projects")
		return out
	case !d.Given(&g.Projects):
		out.Roles = []string{string(g.Role)}
		return out
	case len(g.Projects) == 0:
		d.Report(&g.Projects, "must name a project; leave it out for all of them")
	}
	for i := range g.Projects {
		at := &g.Projects[i]
		found := slices.IndexFunc(projects, func(p trackway.Project) bool { return p.Name == *at || strings.EqualFold(p.Token, *at) })
		if found < 0 {
			d.Report(at, "must be the name or the token of a project")
			continue
		}
		out.Roles = append(out.Roles, string(g.Role)+":"+projects[found].Token)
	}
	return out
}

// line reports whether a text is one line.
func line(text string, most int) bool {
	return strings.TrimSpace(text) == text && text != "" && len([]rune(text)) <= most &&
		strings.IndexFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) < 0
}

func oneWord(text string) bool { return line(text, mostText) && !strings.Contains(text, " ") }
