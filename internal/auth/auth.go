// Package auth finds the project and the key that a request names. Its one idea is that an answer depends only on an immutable
// table made from the configuration: a reload makes a new one. It does not know what a key may do in a route (internal/api
// asks), and it never puts a key or a secret into an error.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"trackway"
)

// The errors that the tracking API's clients know.
var (
	errProject  = &trackway.Error{Code: trackway.Invalid, Field: "projectToken", Msg: "Invalid project id"}
	errNoKey    = &trackway.Error{Code: trackway.Unidentified, Field: "Authorization", Msg: "Access key not provided"}
	errNotFound = &trackway.Error{Code: trackway.Unidentified, Field: "Authorization", Msg: "Access key not found"}
	errSecret   = &trackway.Error{Code: trackway.Forbidden, Field: "Authorization", Msg: "Invalid secret"}
)

// Keys is the table of projects and their keys. Immutable, safe for concurrent use.
type Keys struct{ projects map[string]*project }

type project struct {
	trackway.Project
	keys map[keyID]*trackway.Key
}

type keyID struct {
	kind trackway.KeyKind
	id   string
}

// New returns the table of these projects.
func New(projects []trackway.Project) *Keys {
	k := &Keys{projects: make(map[string]*project, len(projects))}
	for _, p := range projects {
		entry := &project{Project: p, keys: make(map[keyID]*trackway.Key, len(p.Keys))}
		for i := range p.Keys {
			key := &entry.Keys[i]
			entry.keys[keyID{key.Kind, key.ID}] = key
		}
		k.projects[p.Token] = entry
	}
	return k
}

// Grant is what a request was let in with.
type Grant struct {
	Project *trackway.Project
	Key     *trackway.Key
}

// Private tells whether a private key was presented.
func (g Grant) Private() bool { return g.Key.Kind == trackway.PrivateKey }

// Authorize checks the project's token and the credentials: the Authorization field ("Token …" or "Basic …", RFC 7617, the
// scheme in any case), or else the access_token parameter of the query. The error is one that clients of the API know.
func (k *Keys) Authorize(token, authorization, accessToken string) (Grant, *trackway.Error) {
	p := k.find(token)
	if p == nil {
		return Grant{}, errProject
	}
	key, err := p.key(authorization, accessToken)
	if err != nil {
		return Grant{}, err
	}
	return Grant{Project: &p.Project, Key: key}, nil
}

func (p *project) key(authorization, accessToken string) (*trackway.Key, *trackway.Error) {
	scheme, credentials, _ := strings.Cut(authorization, " ")
	credentials = strings.TrimSpace(credentials)
	switch {
	case authorization == "" && accessToken != "":
		return p.public(accessToken)
	case credentials == "":
		return nil, errNoKey
	case strings.EqualFold(scheme, "Token"):
		return p.public(credentials)
	case strings.EqualFold(scheme, "Basic"):
		return p.private(credentials)
	}
	return nil, errNoKey
}

func (p *project) public(token string) (*trackway.Key, *trackway.Error) {
	if key := p.keys[keyID{trackway.PublicKey, token}]; key != nil {
		return key, nil
	}
	return nil, errNotFound
}

func (p *project) private(credentials string) (*trackway.Key, *trackway.Error) {
	var stack [128]byte
	plain, err := base64.RawStdEncoding.AppendDecode(stack[:0], []byte(strings.TrimRight(credentials, "=")))
	if err != nil {
		return nil, errNoKey
	}
	id, secret, ok := strings.Cut(string(plain), ":")
	if !ok {
		return nil, errNoKey
	}
	key := p.keys[keyID{trackway.PrivateKey, id}]
	if key == nil {
		return nil, errNotFound
	}
	if sum := sha256.Sum256([]byte(secret)); subtle.ConstantTimeCompare(sum[:], key.Secret[:]) != 1 {
		return nil, errSecret
	}
	return key, nil
}
