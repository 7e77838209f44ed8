package config

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/config/dirlock"
	"trackway/internal/config/owned"
	"trackway/internal/durable"
)

// Keys are the keys of an installation, from both files, while they are listed
// or changed. Changes go to the managed file only.
type Keys struct{ doc *doc }

// DataDir returns the data directory that holds the managed file.
func (k *Keys) DataDir() string { return k.doc.file.DataDir }

// PlacedKey is a key with the name of its project and the place where it is
// written.
type PlacedKey struct {
	trackway.Key

	Project string // or the project's token, if the operator's file does not have the project
	File    string
	Line    int
}

// ReadKeys reads the keys of the configuration at path, which must be right.
// The environment variables that it names may be unset.
func ReadKeys(path string, flags Flags) (*Keys, error) {
	d, err := load(path, flags, elsewhere, owned.Read, nil)
	if err != nil {
		return nil, err
	}
	_, err = d.result()
	return &Keys{d}, err
}

// ChangeKeys lets a function change the keys of the configuration at path, and
// writes the managed file, atomically and durably. Concurrent changes wait for
// each other. A change that would make the configuration wrong is refused.
// ChangeKeys returns the configuration after the change.
func ChangeKeys(path string, flags Flags, change func(*Keys) error) (*Config, error) {
	k, err := ReadKeys(path, flags) // this finds the data directory
	if err != nil {
		return nil, err
	}
	target := k.doc.file.ManagedPath()
	// The managed file itself cannot be locked: each change replaces it.
	dir, err := dirlock.Lock(filepath.Dir(target))
	if err != nil {
		return nil, fmt.Errorf("lock the managed keys: %w", err)
	}
	defer func() { _ = dir.Unlock() }()
	owner, err := dir.Owner()
	if err != nil {
		return nil, err
	}
	if k, err = ReadKeys(path, flags); err != nil {
		return nil, err
	}
	if err := change(k); err != nil {
		return nil, err
	}
	text := k.doc.managed.encode()
	cfg, err := k.doc.with(text, flags)
	if err != nil {
		return nil, err
	}
	const ownerOnly = 0o600
	if err := durable.Replace(target, text, ownerOnly); err != nil {
		return nil, err
	}
	if int(owner.Uid) != os.Geteuid() {
		err = os.Chown(target, int(owner.Uid), int(owner.Gid))
	}
	return cfg, err
}

// with returns the configuration with the given text as its managed file.
func (d *doc) with(text []byte, flags Flags) (*Config, error) {
	next, err := load(d.asked, flags, elsewhere, func(string) ([]byte, fs.FileMode, error) { return text, 0, nil }, nil)
	if err != nil {
		return nil, err
	}
	for i := range next.Problems {
		if p := &next.Problems[i]; p.File == next.file.ManagedPath() {
			p.File, p.Line = "", 0 // the user never sees this text
		}
	}
	return next.result()
}

// List returns all keys in force, by project.
func (k *Keys) List() []PlacedKey {
	var list []PlacedKey
	for _, h := range k.doc.holders {
		for i, at := range h.keys {
			p := k.doc.Places[at]
			list = append(list, PlacedKey{h.translated[i], h.name, p.File, p.Line})
		}
	}
	return list
}

// Add adds a key to a project, which is named by its name or token; an empty
// text means the only project. It returns the public key's token, or the
// private key's id and secret. Permissions are written as in the operator's
// file; without any, the key has all permissions of its kind.
func (k *Keys) Add(project, name string, kind trackway.KeyKind, permissions []string) (id, secret string, err error) {
	h, err := k.holder(project)
	if err != nil {
		return "", "", err
	}
	if !k.doc.configured(h) {
		return "", "", fmt.Errorf("the configuration has no project %q: a new key of it would let nobody in", h.name)
	}
	if _, err := h.find(name); err == nil {
		return "", "", fmt.Errorf("project %q has a key %q already", h.name, name)
	}
	id = rand.Text()
	added := key{Name: name, Kind: kind, Permissions: permissions}
	if kind == trackway.PublicKey {
		added.Token = hidden(id)
	} else {
		secret = rand.Text()
		added.ID, added.SecretSHA256 = id, digestOf(secret)
	}
	k.add(h, added)
	return id, secret, nil
}

// configured reports whether the operator's file has a project. The projects
// that it does not have come last.
func (d *doc) configured(h *holder) bool {
	return slices.IndexFunc(d.holders, func(o holder) bool { return o.token == h.token }) < len(d.file.Projects)
}

func (k *Keys) add(h *holder, added key) {
	m := &k.doc.managed
	m.Keys = append(m.Keys, managedKey{h.token, added})
}

// errElsewhere explains why a key cannot be rotated.
var errElsewhere = errors.New("the key's secret is in an environment variable or a file of the server (secret_env, secret_file), " +
	"which this command cannot change; write secret_sha256, previous_secret_sha256 and previous_until by hand")

// Rotate gives a private key a new secret, or a public key a new token, and
// returns it. The old secret or token works until a given time; the one before
// it stops working now. A key of the operator's file moves to the managed file.
// Then unused is the place of the line that no longer has an effect.
func (k *Keys) Rotate(project, name string, until time.Time) (kind trackway.KeyKind, made, unused string, err error) {
	h, old, err := k.key(project, name)
	if err != nil {
		return "", "", "", err
	}
	if old.SecretEnv != "" || old.SecretFile != "" {
		return "", "", "", errElsewhere
	}
	made, until = rand.Text(), until.UTC().Truncate(time.Second)
	next := key{Name: old.Name, Kind: old.Kind, ID: old.ID, Permissions: old.Permissions, PreviousUntil: until}
	if old.Kind == trackway.PublicKey {
		next.Token, next.PreviousToken = hidden(made), old.Token
	} else {
		next.SecretSHA256, next.PreviousSecretSHA256 = digestOf(made), old.SecretSHA256
		if old.Secret != "" {
			next.PreviousSecretSHA256 = digestOf(string(old.Secret))
		}
	}
	if i := k.managedIndex(old); i >= 0 {
		k.doc.managed.Keys[i].Key = next
	} else {
		unused = k.revoke(old)
		k.add(h, next)
	}
	return next.Kind, made, unused, nil
}

// Revoke revokes a key. If the key is in the operator's file, unused is the
// place of the line that no longer has an effect.
func (k *Keys) Revoke(project, name string) (unused string, err error) {
	_, old, err := k.key(project, name)
	if err != nil {
		return "", err
	}
	if i := k.managedIndex(old); i >= 0 {
		m := &k.doc.managed
		m.Keys = slices.Concat(m.Keys[:i], m.Keys[i+1:]) // a copy: holders point to the elements
		return "", nil
	}
	return k.revoke(old), nil
}

// managedIndex returns the index of a key in the managed file, or -1 if the key
// is in the operator's file.
func (k *Keys) managedIndex(old *key) int {
	return slices.IndexFunc(k.doc.managed.Keys, func(m managedKey) bool { return m.Key.presented() == old.presented() })
}

// revoke records that a key of the operator's file, with its previous token, is
// no longer in force. It returns the key's place in that file.
func (k *Keys) revoke(old *key) (place string) {
	m, at := &k.doc.managed, k.doc.Places[old]
	m.Revoked = append(m.Revoked, hidden(old.presented()))
	if old.PreviousToken != "" {
		m.Revoked = append(m.Revoked, old.PreviousToken)
	}
	return fmt.Sprintf("%s:%d", at.File, at.Line)
}

func digestOf(secret string) hidden {
	sum := sha256.Sum256([]byte(secret))
	return hidden(hex.EncodeToString(sum[:]))
}

// holder finds a project by its name or token. An empty text means the only
// project.
func (k *Keys) holder(project string) (*holder, error) {
	all := k.doc.holders
	var names []string
	for i := range all {
		if h := &all[i]; project == h.name || strings.EqualFold(project, h.token) {
			return h, nil
		}
		if i < len(k.doc.file.Projects) {
			names = append(names, all[i].name)
		}
	}
	switch {
	case project != "":
		return nil, fmt.Errorf("there is no project %q; there are: %s", project, strings.Join(names, ", "))
	case len(names) > 1:
		return nil, fmt.Errorf("there are several projects: choose one of %s", strings.Join(names, ", "))
	}
	return &all[0], nil
}

// key finds a key by its project and name.
func (k *Keys) key(project, name string) (*holder, *key, error) {
	h, err := k.holder(project)
	if err != nil {
		return nil, nil, err
	}
	found, err := h.find(name)
	return h, found, err
}

func (h *holder) find(name string) (*key, error) {
	var names []string
	for _, k := range h.keys {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("project %q has no keys", h.name)
	}
	return nil, fmt.Errorf("project %q has no key %q; it has: %s", h.name, name, strings.Join(names, ", "))
}
