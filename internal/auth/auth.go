// Package auth finds the project and the key of a request. Its answers depend
// only on an immutable table that is made from the configuration; a reload
// makes a new table. It does not know what a key may do in a route
// (internal/api checks that), and its errors never contain a key or a secret.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"time"

	"trackway"
)

// The errors that clients of the tracking API know.
var (
	errProject  = &trackway.Error{Code: trackway.Invalid, Field: "projectToken", Msg: "Invalid project id"}
	errNoKey    = &trackway.Error{Code: trackway.Unidentified, Field: "Authorization", Msg: "Access key not provided"}
	errNotFound = &trackway.Error{Code: trackway.Unidentified, Field: "Authorization", Msg: "Access key not found"}
	errSecret   = &trackway.Error{Code: trackway.Forbidden, Field: "Authorization", Msg: "Invalid secret"}
)

// Keys is the table of projects and their keys. It is immutable and safe for
// concurrent use.
type Keys struct {
	projects map[string]*project
	public   map[string]*project // by the tokens of their public keys, former ones too
	streams  map[string]*project // by the ids of their streams
	server   *project            // not a project: it has the keys of the server
}

type project struct {
	trackway.Project
	keys map[keyID]entry
}

type keyID struct {
	kind trackway.KeyKind
	id   string
}

// entry is a key under one of its ids.
type entry struct {
	*trackway.Key

	until time.Time // the id stops working then; zero: never
}

// New returns the table of these projects, and of keys that belong to the
// server itself.
func New(projects []trackway.Project, server ...trackway.Key) *Keys {
	k := &Keys{projects: make(map[string]*project, len(projects)), public: make(map[string]*project), streams: make(map[string]*project)}
	k.server = &project{Project: trackway.Project{Keys: server}, keys: make(map[keyID]entry, len(server))}
	for i := range server {
		k.server.keys[keyID{server[i].Kind, server[i].ID}] = entry{Key: &server[i]}
	}
	for _, p := range projects {
		known := &project{Project: p, keys: make(map[keyID]entry, len(p.Keys))}
		for i := range p.Keys {
			key := &known.Keys[i]
			known.keys[keyID{key.Kind, key.ID}] = entry{Key: key}
			if key.Kind == trackway.PublicKey {
				k.public[key.ID] = known
			}
			if key.PreviousID != "" {
				k.public[key.PreviousID] = known
				known.keys[keyID{key.Kind, key.PreviousID}] = entry{Key: key, until: key.PreviousUntil}
			}
		}
		k.projects[p.Token] = known
		if p.StreamID != "" {
			k.streams[p.StreamID] = known
		}
	}
	return k
}

// Grant is the project and the key of an accepted request.
type Grant struct {
	Project *trackway.Project
	Key     *trackway.Key
}

// Authorize checks the project's token and the credentials of a call that was
// received at now. The credentials are in the Authorization field ("Token …" or
// "Basic …", RFC 7617, the scheme in any letter case) or else in the
// access_token parameter of the query. Clients of the API know its errors.
func (k *Keys) Authorize(now time.Time, token, authorization, accessToken string) (Grant, *trackway.Error) {
	p := k.find(token)
	if p == nil {
		return Grant{}, errProject
	}
	key, err := p.key(now, authorization, accessToken)
	if err != nil {
		return Grant{}, err
	}
	return Grant{Project: &p.Project, Key: key}, nil
}

// ByToken checks the token of a public key, of any project, for calls whose
// path names no project. An empty token counts as absent. Its errors are those
// of [Keys.Authorize].
func (k *Keys) ByToken(now time.Time, token string) (Grant, *trackway.Error) {
	if token == "" {
		return Grant{}, errNoKey
	}
	p := k.public[token]
	if p == nil {
		return Grant{}, errNotFound
	}
	key, err := p.public(now, token)
	if err != nil {
		return Grant{}, err
	}
	return Grant{Project: &p.Project, Key: key}, nil
}

func (p *project) key(now time.Time, authorization, accessToken string) (*trackway.Key, *trackway.Error) {
	scheme, credentials, _ := strings.Cut(authorization, " ")
	credentials = strings.TrimSpace(credentials)
	switch {
	case authorization == "" && accessToken != "":
		return p.public(now, accessToken)
	case credentials == "":
		return nil, errNoKey
	case strings.EqualFold(scheme, "Token"):
		return p.public(now, credentials)
	case strings.EqualFold(scheme, "Basic"):
		return p.private(now, credentials)
	}
	return nil, errNoKey
}

func (p *project) public(now time.Time, token string) (*trackway.Key, *trackway.Error) {
	found, ok := p.keys[keyID{trackway.PublicKey, token}]
	if !ok || !found.until.IsZero() && !now.Before(found.until) {
		return nil, errNotFound
	}
	return found.Key, nil
}

func (p *project) private(now time.Time, credentials string) (*trackway.Key, *trackway.Error) {
	var stack [128]byte
	plain, err := base64.RawStdEncoding.AppendDecode(stack[:0], []byte(strings.TrimRight(credentials, "=")))
	if err != nil {
		return nil, errNoKey
	}
	id, secret, ok := strings.Cut(string(plain), ":")
	if !ok {
		return nil, errNoKey
	}
	key := p.keys[keyID{trackway.PrivateKey, id}].Key
	if key == nil {
		return nil, errNotFound
	}
	if !secretFits(now, key, sha256.Sum256([]byte(secret))) {
		return nil, errSecret
	}
	return key, nil
}

// secretFits reports whether a secret's digest is the key's, or that of its
// previous secret while that still works. It takes the same time in every case.
func secretFits(now time.Time, key *trackway.Key, sum [sha256.Size]byte) bool {
	current := subtle.ConstantTimeCompare(sum[:], key.Secret[:])
	previous := subtle.ConstantTimeCompare(sum[:], key.PreviousSecret[:])
	holds := 0
	if now.Before(key.PreviousUntil) {
		holds = 1
	}
	return current|previous&holds == 1
}
