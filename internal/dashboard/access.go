package dashboard

import (
	"slices"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/people"
	"trackway/internal/query"
)

// enter finds out whose request it is, and whether the route is open to that
// user at all.
func (q *request) enter() error {
	if q.user = people.Passed(q.r.Context()); q.user == nil {
		q.session, q.user = q.Server.who(q.facts, q.r, q.from, q.now)
	}
	if q.user == nil {
		if q.facts.closed() {
			return errNoSignIn
		}
		return errSignIn
	}
	role := q.user.Most()
	if q.route.whole {
		role = q.user.All
	}
	if !role.Includes(q.route.needs) {
		return q.mayNot()
	}
	return nil
}

// mayNot is the refusal of a route that needs another role.
func (q *request) mayNot() error {
	where := ""
	if q.route.whole {
		where = " for all projects"
	}
	return &trackway.Error{Code: trackway.Forbidden, Msg: "This needs the role " + string(q.route.needs) + where + "."}
}

// project returns the project in the query, if the user has the role there that
// the route needs. The error is a [people.ElsewhereError] if another server has
// to answer, because it holds the data.
func (q *request) project(token string) (*trackway.Project, error) {
	p, err := q.open(token)
	if err == nil && q.Holds != nil && !q.Holds(p.Number) {
		return nil, &people.ElsewhereError{Project: p.Number, Token: p.Token, User: q.user.Name, Role: q.roleIn(p)}
	}
	return p, err
}

// open is project for what any server can answer. A user without any role in a
// project does not learn whether it exists.
func (q *request) open(token string) (*trackway.Project, error) {
	p := q.facts.byToken[lower(token)]
	if p == nil || !q.sees(p) {
		return nil, &trackway.Error{Code: trackway.NotFound, Field: "project", Msg: "There is no such project."}
	}
	if !q.user.RoleIn(p.Token).Includes(q.route.needs) {
		return nil, q.mayNot()
	}
	return p, nil
}

// projects returns the projects that the user sees.
func (q *request) projects() (list []*trackway.Project) {
	for i := range q.facts.Projects {
		if p := &q.facts.Projects[i]; q.sees(p) {
			list = append(list, p)
		}
	}
	return list
}

// sees reports whether the user has a role in a project. A project that is no
// longer configured is nil; only a role for all projects covers it.
func (q *request) sees(p *trackway.Project) bool { return q.roleIn(p).Includes(people.Viewer) }

func (q *request) roleIn(p *trackway.Project) people.Role {
	if p == nil {
		return q.user.All
	}
	return q.user.RoleIn(p.Token)
}

// seesPersonal reports whether the user sees what names a customer of a
// project: identifiers, personal properties, and callers' addresses.
func (q *request) seesPersonal(p *trackway.Project) bool { return q.roleIn(p).Includes(people.Analyst) }

// personal reports whether a property of a customer or an event is personal. A
// client may send an identifier as a property too.
func personal(p *trackway.Project, name string) bool {
	return slices.Contains(p.Personal, name) || slices.Contains(p.Hard, name) || slices.Contains(p.Soft, name)
}

// shownProfile returns the part of a customer that the user sees.
func (q *request) shownProfile(p *trackway.Project, of *trackway.Profile) *trackway.Profile {
	if q.seesPersonal(p) {
		return of
	}
	seen := *of
	seen.IDs = nil
	seen.Properties = slices.DeleteFunc(slices.Clone(of.Properties), func(d trackway.DatedProperty) bool { return personal(p, d.Name) })
	return &seen
}

// shownProperties returns the part of an event's properties that the user sees:
// a JSON object. The record of a merge holds identifiers, and an event that a
// client sent under the same type may hold them too.
func (q *request) shownProperties(p *trackway.Project, e *trackway.Event) []byte {
	if q.seesPersonal(p) || len(e.Properties) == 0 {
		return object(e.Properties)
	}
	hidden := func(of trackway.Property) bool { return personal(p, of.Name) }
	if e.Type == trackway.MergeType {
		hidden = func(of trackway.Property) bool {
			return personal(p, of.Name) || slices.Contains([]string{query.AbsorbedIDs, query.CauseIDs, query.SurvivorIDs}, of.Name)
		}
	}
	return canonjson.AppendObject(nil, slices.DeleteFunc(canonjson.SplitObject(slices.Clone(e.Properties)), hidden))
}

// shownReason returns what everybody sees of the reason for a refusal. Its text
// may quote what the client has sent, and a field after its first dot may be
// anything: some clients send an identifier in the place of its name.
func shownReason(field, text string) (part, reason string) {
	part, _, longer := strings.Cut(field, ".")
	if longer || strings.ContainsAny(strings.TrimPrefix(text, "Field '"+field+"'"), `'"`) {
		return part, "The reason quotes what the client sent: it takes the role analyst to see it."
	}
	return part, text
}

// errSearch is the answer to a search that would tell who has an identifier.
var errSearch = &trackway.Error{
	Code: trackway.Forbidden, Field: searchField, Msg: "With the role viewer you can only search for a property that is not personal, such as plan=gold.",
}
