package tracking

import (
	"cmp"
	"net/http"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
	"trackway/internal/format/value"
)

// OldBatch is the format of a batch of the clients of 2013 to 2018. Their
// commands are called crm/customers and crm/events. Each names the project in
// project_id or company_id, and an update has its identifiers in ids. All else
// is as today. The answer has a status for each command.
//
//	{"commands":[{"name":"crm/events","data":{
//		"customer_ids":{"registered":"x"},"project_id":"…",
//		"type":"visit","age":5,"properties":{}
//	}}]}
var OldBatch = &format.Format{
	Name: "bulk",
	Decode: func(p *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
		d := newDecoder(body, received)
		d.old = p
		return whole(d)
	},
	Results: oldResults, Refusal: refusal(appendRefusal), Text: Text, AnySite: true,
}

// OldSingle returns the format of a command of these clients that is sent
// alone. name is [Customers] or [Events].
func OldSingle(name string) *format.Format {
	single := *Single(name)
	single.Name = "crm/" + name[strings.LastIndexByte(name, '/')+1:]
	single.Decode = func(p *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
		d := newDecoder(body, received)
		d.old = p
		var f fields
		d.fields(&f)
		if d.End(); d.Bad() {
			return format.One(trackway.Command{}, errJSON, name, received), nil
		}
		var c trackway.Command
		err := f.command(&c, name, received)
		return format.One(c, err, name, received), nil
	}
	return &single
}

// nameToday returns today's name of a command.
func (d *decoder) nameToday(name string) string {
	if d.old != nil {
		switch name {
		case "crm/customers":
			return Customers
		case "crm/events":
			return Events
		}
	}
	return name
}

// unknown reads the value of a member that today's commands do not have.
func (d *decoder) unknown(f *fields, name string) {
	switch {
	case d.old == nil:
		d.Value()
	case name == "ids":
		f.ids, f.idsErr = d.identifiers()
	case isProject(name):
		f.err = cmp.Or(f.err, d.sameProject(name))
	default:
		d.Value()
	}
}

// sameProject reads the name of a command's project, which may be absent. It
// returns an error if that is not the project of the call.
func (d *decoder) sameProject(member string) *trackway.Error {
	switch v := d.Value(); {
	case v.Kind == canonjson.Null:
		return nil
	case v.Kind != canonjson.String:
		return value.Unexpected(member, "a string", v.Kind)
	case !strings.EqualFold(v.Text(), d.old.Token):
		return sentence(member, "Field '"+member+"': all commands of a call must name the same project.")
	}
	return nil
}

func isProject(member string) bool { return member == "project_id" || member == "company_id" }

// OldProject returns the token of the project that a body of [OldBatch] or
// [OldSingle] names first, or "".
//
// Cost: one pass over the body, whatever is in it.
func OldProject(body []byte) (token string) {
	s := canonjson.Scan(body)
	if s.Peek() != canonjson.Object {
		return ""
	}
	for name := range s.Members {
		if name == "commands" && s.Peek() == canonjson.Array {
			token = cmp.Or(token, projectOfCommands(&s))
		} else {
			token = cmp.Or(token, projectOfMember(&s, name))
		}
	}
	if s.Bad() {
		return ""
	}
	return token
}

// projectOfCommands reads an array of commands.
func projectOfCommands(s *canonjson.Scanner) (token string) {
	for range s.Elements {
		if s.Peek() != canonjson.Object {
			s.Value()
			continue
		}
		for name := range s.Members {
			if name != "data" || s.Peek() != canonjson.Object {
				s.Value()
				continue
			}
			for name := range s.Members {
				token = cmp.Or(token, projectOfMember(s, name))
			}
		}
	}
	return token
}

// projectOfMember reads the value of a member, and returns the token of the
// project if it is one.
func projectOfMember(s *canonjson.Scanner, name string) string {
	if v := s.Value(); isProject(name) && v.Kind == canonjson.String && !s.Bad() {
		return v.Text()
	}
	return ""
}

// oldResults returns the answer to an [OldBatch]. A client sends a command
// again if its status is retry, which never happens here: a batch that could
// not be stored is refused as a whole.
func oldResults(b *format.Batch, now trackway.Micros) (int, []byte, *trackway.Error) {
	text := []byte(`{"success":true,"results":[`)
	for i := range b.Results {
		if i > 0 {
			text = append(text, ',')
		}
		switch err := b.Results[i].Err; {
		case err != nil:
			text = canonjson.AppendString(append(text, `{"status":"error","errors":[`...), Text(err))
			text = append(text, "]}"...)
		case b.Labels[i].Name == systemTime:
			text = now.AppendSeconds(append(text, `{"status":"ok","time":`...))
			text = append(text, '}')
		default:
			text = append(text, `{"status":"ok"}`...)
		}
	}
	return http.StatusOK, append(text, "]}"...), nil
}
