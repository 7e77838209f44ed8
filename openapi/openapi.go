// Package openapi holds the contract of the public listener, openapi.yaml, and
// reads it for programs that show it. The contract comes first: the guide is
// made from it, and tests check the server against it (openapitest). The
// package checks no request, and does not know the limits in force.
package openapi

import (
	_ "embed" // for source
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:embed openapi.yaml
var source []byte

// Source returns the text of the contract, an OpenAPI 3.1 document in YAML. It
// must not be changed.
func Source() []byte { return source }

// Document is the part of the contract that readers are shown, in the order in
// which it is written. It leaves out routes that only the server's own pages
// call.
type Document struct {
	Title       string
	Summary     string
	Description string
	Groups      []Group
}

// Group holds the routes of one tag.
type Group struct {
	Name        string
	Description string
	Snippets    []Snippet
	Routes      []Route
}

// Snippet is an example for a program: the member x-snippets of a tag.
// $SERVER, $PROJECT and $TOKEN in it stand for the address of a server, a
// project's token and a public key.
type Snippet struct {
	Title string
	Code  string
}

// Route is a path with a method. Preflights are not routes.
type Route struct {
	ID          string // names the route within the document
	Method      string
	Path        string   // with its parameters in braces
	Also        []string // other paths with the same meaning: the member x-also
	Summary     string
	Description string
	Keys        []string // kinds of key that let a call in, by name; empty: no key is needed
	KeyOptional bool     // something else may let a call in, such as its stream_id
	Permission  string   // that the key must have; empty if any key will do
	Parameters  []Field  // of path, query and header
	Body        []Field  // the members of the object that is sent; empty without a body
	Example     string   // a body that works, as JSON
	Answers     []Answer
}

// Field is one part that a call may or must have.
type Field struct {
	Name        string
	In          string // path, query, header or body
	Type        string // such as "string or number"
	Required    bool
	Description string
	Example     string // may be empty
}

// Answer is one way in which a call can be answered.
type Answer struct {
	Status      string
	Description string
	Example     string // JSON; empty if there is no body, or one that is not JSON
}

// Parse reads the contract, once: that costs a server as much as thousands of
// events. Callers share the document and must not change it. An error is a
// mistake in openapi.yaml.
func Parse() (*Document, error) { return parsed() }

var parsed = sync.OnceValues(parse)

func parse() (*Document, error) {
	var root yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(source, &root, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("read the contract: %w", err)
	}
	top := node{root, root}
	info := top.get("info")
	d := &Document{Title: info.text("title"), Summary: info.text("summary"), Description: info.text("description")}
	internal := map[string]bool{} // tags of routes that are not for readers
	for _, tag := range top.get("tags").items() {
		if tag.get("x-internal").v == true {
			internal[tag.text("name")] = true
			continue
		}
		g := Group{Name: tag.text("name"), Description: tag.text("description")}
		for _, s := range tag.get("x-snippets").items() {
			g.Snippets = append(g.Snippets, Snippet{Title: s.text("title"), Code: s.text("code")})
		}
		d.Groups = append(d.Groups, g)
	}
	for path, item := range top.get("paths").members {
		for method, op := range item.members {
			if method == "parameters" || method == "options" || method == alsoMember || slices.ContainsFunc(op.get("tags").texts(), func(tag string) bool { return internal[tag] }) {
				continue
			}
			i := slices.IndexFunc(d.Groups, func(g Group) bool { return slices.Contains(op.get("tags").texts(), g.Name) })
			if i < 0 {
				return nil, fmt.Errorf("the contract: %s %s has none of the tags", method, path)
			}
			d.Groups[i].Routes = append(d.Groups[i].Routes, readRoute(path, method, item, op))
		}
	}
	return d, nil
}

// alsoMember lists the other paths of a route. It stands beside the methods.
const alsoMember = "x-also"

func readRoute(path, method string, item, op node) Route {
	r := Route{
		ID: op.text("operationId"), Method: strings.ToUpper(method), Path: path,
		Summary: op.text("summary"), Description: op.text("description"), Also: item.get(alsoMember).texts(),
	}
	for _, requirement := range op.get("security").items() {
		optional := true
		for scheme, roles := range requirement.members {
			optional = false
			r.Keys = append(r.Keys, scheme)
			r.Permission = strings.Join(roles.texts(), " ")
		}
		r.KeyOptional = r.KeyOptional || optional
	}
	for _, p := range slices.Concat(item.get("parameters").items(), op.get("parameters").items()) {
		r.Parameters = append(r.Parameters, Field{
			Name: p.text("name"), In: p.text("in"), Type: p.get("schema").typeName(), Required: p.get("required").v == true,
			Description: p.text("description"), Example: p.text("example"),
		})
	}
	if media := op.get("requestBody").get("content").get("application/json"); media.v != nil {
		r.Body, r.Example = readFields(media.get("schema")), media.get("example").json()
	}
	for status, answer := range op.get("responses").members {
		r.Answers = append(r.Answers, Answer{
			Status: status, Description: answer.text("description"),
			Example: answer.get("content").get("application/json").get("example").json(),
		})
	}
	return r
}

// readFields reads the members of an object's schema.
func readFields(schema node) []Field {
	var fields []Field
	required := schema.get("required").texts()
	if either := schema.get("anyOf").items(); len(either) > 0 { // the old name of a member is no better than the member
		required = append(required, either[0].get("required").texts()...)
	}
	for name, member := range schema.get("properties").members {
		fields = append(fields, Field{
			Name: name, In: "body", Type: member.typeName(), Required: slices.Contains(required, name), Description: member.text("description"),
		})
	}
	return fields
}
