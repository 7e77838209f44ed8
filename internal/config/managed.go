package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"trackway"
	"trackway/internal/config/owned"
	"trackway/internal/config/setting"
	"trackway/internal/config/things"
)

// ManagedFile is the name of the file in the data directory with the program's
// own configuration: the keys that `trackway key` creates, the list of the
// operator's keys that it has revoked, and the users. Only the program writes
// it.
const ManagedFile = "managed.yaml"

// ManagedPath returns the path of the managed file.
func (c *Config) ManagedPath() string { return filepath.Join(c.DataDir, ManagedFile) }

// managedVersion is the version of the managed file's format.
const managedVersion = 1

const managedHead = `# This file belongs to Trackway, which replaces it as a whole: change keys by
# "trackway key", users by "trackway user", the rest by the admin API (secrets!).
`

// managed is the managed file.
type managed struct {
	Version uint32       `yaml:"version"`
	Keys    []managedKey `yaml:"keys"`
	// Revoked lists the tokens and ids of keys in the operator's file that are
	// no longer in force. They stay here forever: the operator may put an old
	// file back.
	Revoked []hidden      `yaml:"revoked"`
	Users   []managedUser `yaml:"users"`

	// The admin API has made these. adopt moves them to the lists of the
	// operator's file.
	Projects     []project                   `yaml:"projects"`
	Limits       []policy                    `yaml:"limits"`
	Overrides    []override                  `yaml:"overrides"`
	Destinations []destination               `yaml:"destinations"`
	things       map[string][]map[string]any // the same as it is written, by its kind
}

// managedKey is a key in the managed file.
type managedKey struct {
	Project string `yaml:"project"` // the project's token, which stays the same if the operator renames the project
	Key     key    `yaml:",inline"`
}

// holder is a project with its keys from both files, without revoked ones.
type holder struct {
	name, token string // name is the token if the operator's file has no such project
	keys        []*key
	translated  []trackway.Key
}

// ServerKeys is the name that stands for the server in place of a project: its
// keys, with which the admin API is called, belong to no project. serverToken
// is what the managed file has as their project. Neither can be a project's.
const (
	ServerKeys  = "(server)"
	serverToken = "*"
)

// encode returns the text of the managed file. All texts are quoted: the
// library's encoder would leave out the quotes around some that read as
// numbers.
func (m *managed) encode() []byte {
	b := fmt.Appendf(nil, "%sversion: %d\nkeys:", managedHead, managedVersion)
	b = appendList(b, m.Keys)
	b = fmt.Appendf(b, "\nrevoked: %s\n", written(reflect.ValueOf(m.Revoked)))
	if len(m.Users) > 0 { // versions before users refuse the setting
		b = append(appendList(append(b, "users:"...), m.Users), '\n')
	}
	for _, kind := range things.Kinds() { // versions before the admin API refuse them
		if list := m.things[kind]; len(list) > 0 {
			b = append(append(b, kind...), ':')
			for _, t := range list {
				b = append(append(b, "\n  - "...), owned.Flow(t)...)
			}
			b = append(b, '\n')
		}
	}
	return owned.Seal(b)
}

// appendList appends a list of keys or users.
func appendList[T any](b []byte, list []T) []byte {
	if len(list) == 0 {
		b = append(b, " []"...)
	}
	for i := range list {
		var fields []string
		for _, f := range setting.Fields(reflect.ValueOf(&list[i]).Elem()) {
			if !f.Value.IsZero() {
				fields = append(fields, f.Key+": "+written(f.Value))
			}
		}
		b = fmt.Appendf(b, "\n  - {%s}", strings.Join(fields, ", "))
	}
	return b
}

// written returns a text, a time, or a list of these as YAML.
func written(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Slice:
		list := make([]string, v.Len())
		for i := range list {
			list[i] = written(v.Index(i))
		}
		return "[" + strings.Join(list, ", ") + "]"
	case v.Kind() == reflect.String:
		return strconv.Quote(v.String())
	}
	return v.Interface().(time.Time).Format(time.RFC3339)
}

// readManaged reads the managed file, if there is one.
func (d *doc) readManaged(read owned.Reader) {
	path := d.file.ManagedPath()
	text, mode, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return
	case err != nil:
		if inner, ok := errors.AsType[*fs.PathError](err); ok {
			err = inner.Err // without the path, which the problem has already
		}
		d.Problems = append(d.Problems, Problem{File: path, Msg: fmt.Sprintf("cannot be read: %v", err)})
		return
	case owned.Damaged(text):
		d.Problems = append(d.Problems, Problem{File: path, Msg: "was damaged or changed by hand: its checksum does not match. " +
			"Take it from a backup, or check its content, remove its last line, and run trackway check"})
		return
	}
	m := d.Part(path)
	const others, group = 0o007, 0o070
	switch open := (Problem{File: path, Msg: fmt.Sprintf("others may read or write it (mode %#o): chmod 600", mode.Perm())}); {
	case mode.Perm()&others != 0:
		m.Problems = InvalidError{open}
	case mode.Perm()&group != 0: // some volumes give these to every file
		d.Warnings = append(d.Warnings, open)
	}
	at := &d.managed.Version
	switch ok := m.Read(text, &d.managed, ""); {
	case ok && !m.Given(at):
		m.Missing(&d.managed, "needs version: %d", managedVersion)
	case m.Good(at) && *at != managedVersion && ok:
		m.Problems = nil // they would be about what this version does not know
		m.Report(at, "must be %d: this version of the program reads only that", managedVersion)
	}
	d.Problems = append(d.Problems, m.Problems...)
}

// mergeKeys returns the projects with their keys from both files.
func (d *doc) mergeKeys() []holder {
	revoked := make(map[string]any)
	for i := range d.managed.Revoked {
		revoked[string(d.managed.Revoked[i])] = &d.managed.Revoked[i]
	}
	var holders []holder
	for i := range d.file.Projects {
		p := &d.file.Projects[i]
		h := holder{name: p.Name, token: strings.ToLower(p.Token)}
		for j := range p.Keys {
			k := &p.Keys[j]
			if revoked[k.presented()] != nil {
				d.warn(k, "has no effect: `trackway key` has revoked or rotated this key; you may remove the line")
				continue
			}
			if at := revoked[string(k.PreviousToken)]; at != nil {
				d.report(&k.PreviousToken, "is revoked: it is %s", d.Locate(at, k))
			}
			h.keys = append(h.keys, k)
		}
		holders = append(holders, h)
	}
	server := holder{name: ServerKeys, token: serverToken}
	for i := range d.file.AdminKeys {
		k := &d.file.AdminKeys[i]
		if revoked[k.presented()] == nil {
			server.keys = append(server.keys, k)
			continue
		}
		d.warn(k, "has no effect: `trackway key` has revoked or rotated this key; you may remove the line")
	}
	holders = append(holders, server)
	for i := range d.managed.Keys {
		m := &d.managed.Keys[i]
		d.Places[&m.Key] = d.Places[m]
		if !d.given(&m.Project) {
			d.missing(m, "needs a project: its token")
			continue
		}
		at := slices.IndexFunc(holders, func(h holder) bool { return h.token == m.Project })
		if at < 0 {
			at, holders = len(holders), append(holders, holder{name: m.Project, token: m.Project})
		}
		if at > len(d.file.Projects) {
			d.warn(&m.Project, "is the token of no project: the key lets nobody in")
		}
		holders[at].keys = append(holders[at].keys, &m.Key)
	}
	return holders
}
