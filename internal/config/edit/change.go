package edit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"trackway"
)

// NewKey is a key to be added. Of Secret, which a private key has, only the digest is written.
type NewKey struct {
	Name        string
	Kind        trackway.KeyKind
	ID          string // the public key's token, or the private key's id
	Secret      string
	Permissions []string // as in the file; none are those of its kind
}

// Add adds a key as the last of a project, which is named by its name, or is the only one.
func (f *File) Add(project string, k NewKey) error {
	i, err := f.project(project)
	if err != nil {
		return err
	}
	if _, err := f.key(i, k.Name); err == nil {
		return fmt.Errorf("project %q has a key %q already", f.cfg.Projects[i].Name, k.Name)
	}
	s, err := parse(f.text)
	if err != nil {
		return err
	}
	s.addKey(s.element(s.root, "projects", i), k.yaml())
	text, err := s.apply()
	if err != nil {
		return err
	}
	added := trackway.Key{Name: k.Name, Kind: k.Kind, ID: k.ID}
	if k.Kind == trackway.PrivateKey {
		added.Secret = sha256.Sum256([]byte(k.Secret))
	}
	return f.take(text, i, func(p *trackway.Project) {
		if len(k.Permissions) > 0 { // which the reading has checked
			added.Permissions = permissionsOf(k.Permissions)
		}
		p.Keys = append(p.Keys, added)
	})
}

// permissionsOf reads permissions that are known to be right.
func permissionsOf(written []string) map[trackway.Permission][]string {
	permissions := make(map[trackway.Permission][]string)
	for _, w := range written {
		parts := strings.SplitN(w, ":", 3) // customers:get:first_name
		p := trackway.Permission(strings.Join(parts[:min(2, len(parts))], ":"))
		permissions[p] = append(permissions[p], parts[min(2, len(parts)):]...)
	}
	return permissions
}

// yaml returns the key as it stands in the file.
func (k *NewKey) yaml() string {
	fields := []string{"name: " + plain(k.Name), "kind: " + string(k.Kind)}
	if k.Kind == trackway.PublicKey {
		fields = append(fields, "token: "+plain(k.ID))
	} else {
		fields = append(fields, "id: "+plain(k.ID), "secret_sha256: "+digest(k.Secret))
	}
	if len(k.Permissions) > 0 {
		quoted := make([]string, len(k.Permissions))
		for i, p := range k.Permissions {
			quoted[i] = strconv.Quote(p)
		}
		fields = append(fields, "permissions: ["+strings.Join(quoted, ", ")+"]")
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// word matches what no reader of YAML takes for anything but a text, but for a few words of its own: what begins with a digit has a
// letter in it that no number and no date has.
var word = regexp.MustCompile(`^([A-Za-z]|[0-9][0-9A-Za-z]*[g-nG-Np-sP-Su-wU-W])[0-9A-Za-z]*([-_][0-9A-Za-z]+)*$`)

// plain returns a text for the file, in quotes where it needs them.
func plain(s string) string {
	other := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
	if word.MatchString(s) && !slices.Contains(other, strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}

// digest returns what the file holds of a secret, in quotes: it may look like a number.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return strconv.Quote(hex.EncodeToString(sum[:]))
}

// addKey writes a key as the last one of a project.
func (s *source) addKey(project *ast.MappingNode, text string) {
	keys := pair(project, "keys")
	if keys == nil {
		s.addKeys(project, text)
		return
	}
	list, ok := keys.Value.(*ast.SequenceNode)
	if !ok {
		s.broken = true
		return
	}
	n := len(list.Values)
	switch {
	case n == 0:
		s.insert(s.indicator(list.End, ']'), text)
	case list.IsFlowStyle:
		last, _ := list.Values[n-1].(*ast.MappingNode)
		s.insert(s.endOf(last), ", "+text)
	default:
		s.insertLines(lastLine(list.Values[n-1]), indent(list.Entries[0].Start.Position.Column)+"- "+text)
	}
}

// addKeys writes the list of a project that has none.
func (s *source) addKeys(project *ast.MappingNode, text string) {
	if project.IsFlowStyle {
		s.addInBraces(project, "keys: ["+text+"]")
		return
	}
	if len(project.Values) == 0 {
		s.broken = true
		return
	}
	column := project.Values[0].Key.GetToken().Position.Column
	s.insertLines(lastLine(project), indent(column)+"keys:", indent(column+2)+"- "+text)
}

// addInBraces adds to a mapping in braces, which is not empty; a comma may stand behind its last member.
func (s *source) addInBraces(m *ast.MappingNode, text string) {
	at := s.backward(s.indicator(m.End, '}'))
	if at > 0 && s.text[at-1] == ',' {
		s.insert(at, " "+text)
		return
	}
	s.insert(at, ", "+text)
}

func indent(column int) string { return strings.Repeat(" ", column-1) }

// endOf returns the place after a mapping in braces.
func (s *source) endOf(m *ast.MappingNode) int {
	if m == nil {
		s.broken = true
		return 0
	}
	return s.indicator(m.End, '}') + 1
}

// Revoke removes a key.
func (f *File) Revoke(project, name string) error {
	i, err := f.project(project)
	if err != nil {
		return err
	}
	j, err := f.key(i, name)
	if err != nil {
		return err
	}
	s, err := parse(f.text)
	if err != nil {
		return err
	}
	s.removeKey(s.element(s.root, "projects", i), j)
	text, err := s.apply()
	if err != nil {
		return err
	}
	return f.take(text, i, func(p *trackway.Project) {
		if p.Keys = slices.Delete(p.Keys, j, j+1); len(p.Keys) == 0 {
			p.Keys = nil
		}
	})
}

func (s *source) removeKey(project *ast.MappingNode, j int) {
	key := s.element(project, "keys", j)
	if s.broken {
		return
	}
	keys := pair(project, "keys")
	list, _ := keys.Value.(*ast.SequenceNode) // or there were no element
	if list.IsFlowStyle {
		s.removeElement(list, key, j)
		return
	}
	first := list.Entries[j].Start
	s.indicator(first, '-')
	s.replace(s.line(first.Position.Line), s.line(lastLine(key)+1), "")
	if len(list.Values) == 1 {
		s.insert(s.indicator(keys.GetToken(), ':')+1, " []") // no list at all would be a mistake
	}
}

// removeElement removes a mapping from a list in brackets, with one of the commas beside it.
func (s *source) removeElement(list *ast.SequenceNode, key *ast.MappingNode, j int) {
	from, to := s.indicator(key.GetToken(), '{'), s.endOf(key)
	switch last := len(list.Values) - 1; {
	case j < last:
		next, _ := list.Values[j+1].(*ast.MappingNode)
		if next == nil {
			s.broken = true
			return
		}
		to = s.indicator(next.GetToken(), '{')
	case j > 0:
		before, _ := list.Values[j-1].(*ast.MappingNode)
		from = s.endOf(before)
	}
	s.replace(from, to, "")
}

// errEnv is why a key is not rotated.
var errEnv = errors.New("the key's secret is in an environment variable of the server (secret_env), so this file cannot change it; " +
	"write secret_sha256, previous_secret_sha256 and previous_until by hand")

// Rotate gives a private key a new secret, or a public one a new token, and tells which kind it is. What it had works besides until
// a time; what it had before that does no longer.
func (f *File) Rotate(project, name, secret string, until time.Time) (trackway.KeyKind, error) {
	i, err := f.project(project)
	if err != nil {
		return "", err
	}
	j, err := f.key(i, name)
	if err != nil {
		return "", err
	}
	s, err := parse(f.text)
	if err != nil {
		return "", err
	}
	until = until.UTC().Truncate(time.Second)
	was := f.cfg.Projects[i].Keys[j]
	key := s.element(s.element(s.root, "projects", i), "keys", j)
	if pair(key, "secret_env") != nil {
		return "", errEnv
	}
	s.rotate(key, &was, secret, until.Format(time.RFC3339))
	text, err := s.apply()
	if err != nil {
		return "", err
	}
	return was.Kind, f.take(text, i, func(p *trackway.Project) {
		k := &p.Keys[j]
		k.PreviousUntil = until
		if k.Kind == trackway.PublicKey {
			k.PreviousID, k.ID = k.ID, secret
		} else {
			k.PreviousSecret, k.Secret = k.Secret, sha256.Sum256([]byte(secret))
		}
	})
}

func (s *source) rotate(key *ast.MappingNode, was *trackway.Key, secret, until string) {
	current, fields := "token", []string{"token: " + plain(secret), "previous_token: " + strconv.Quote(was.ID)}
	if was.Kind == trackway.PrivateKey {
		current = "secret"
		if pair(key, current) == nil {
			current = "secret_sha256"
		}
		old := strconv.Quote(hex.EncodeToString(was.Secret[:]))
		fields = []string{"secret_sha256: " + digest(secret), "previous_secret_sha256: " + old}
	}
	at := s.setPair(key, current, fields[0])
	var more []string
	for _, field := range append(fields[1:], "previous_until: "+until) {
		name, _, _ := strings.Cut(field, ":")
		if pair(key, name) != nil {
			s.setPair(key, name, field)
		} else {
			more = append(more, field)
		}
	}
	if len(more) > 0 {
		s.addPairs(key, at, more)
	}
}

// setPair writes a member of a mapping anew, key and value, and returns the line it is on.
func (s *source) setPair(m *ast.MappingNode, key, field string) (line int) {
	p := pair(m, key)
	if p == nil {
		s.broken = true
		return 0
	}
	from, value := s.offset(p.Key.GetToken()), p.Value.GetToken()
	s.replace(from, s.scalarEnd(s.offset(value), m.IsFlowStyle), field)
	return value.Position.Line
}

// addPairs adds members to a mapping: at its end if it is in braces, otherwise after a line.
func (s *source) addPairs(m *ast.MappingNode, line int, fields []string) {
	if m.IsFlowStyle {
		s.addInBraces(m, strings.Join(fields, ", "))
		return
	}
	lines := make([]string, len(fields))
	for i, field := range fields {
		lines[i] = indent(m.Values[0].Key.GetToken().Position.Column) + field
	}
	s.insertLines(line, lines...)
}
