package auth

import (
	"strings"
	"time"

	"trackway"
)

// Keys for the calls of clients that send none. They may do what any public key
// may. No client can present them.
var (
	streamKey = &trackway.Key{Name: "stream", Kind: trackway.PublicKey}
	legacyKey = &trackway.Key{Name: "legacy", Kind: trackway.PublicKey}
)

// The errors of calls that do not name a project where others do.
var (
	errStream    = &trackway.Error{Code: trackway.Invalid, Field: "projectToken", Msg: "Field 'stream_id' is required."}
	errNoProject = &trackway.Error{Code: trackway.Invalid, Field: "projectToken", Msg: "The body must be JSON with the project's token in 'project_id'."}
	errLegacy    = &trackway.Error{
		Code: trackway.Forbidden, Field: "projectToken", Msg: "The project takes no calls without a key: its configuration does not say legacy: true",
	}
)

// ByStream checks the credentials of a call that names a stream instead of a
// project. The id of a stream that is in a project's configuration admits calls
// without a key, and with a token of somebody else's, which the SDKs call JWT.
// A key counts if there is one. A project's token names a stream, too, but not
// without a key.
//
// Credentials are as for [Keys.Authorize]. "Bearer" is the same as "Token".
func (k *Keys) ByStream(now time.Time, stream, authorization, accessToken string) (Grant, *trackway.Error) {
	if stream == "" {
		return Grant{}, errStream
	}
	scheme, credentials, _ := strings.Cut(authorization, " ")
	bearer := strings.EqualFold(scheme, "Bearer")
	if bearer {
		authorization = "Token " + credentials
	}
	p := k.streams[stream]
	if p == nil {
		return k.Authorize(now, stream, authorization, accessToken)
	}
	key, err := p.key(now, authorization, accessToken)
	switch {
	case err == nil:
		return Grant{Project: &p.Project, Key: key}, nil
	case bearer, authorization == "" && accessToken == "":
		return Grant{Project: &p.Project, Key: streamKey}, nil
	}
	return Grant{}, err
}

// Legacy admits a call of a client from the time before there were keys, to a
// project whose configuration permits it. token is empty if the body names no
// project.
func (k *Keys) Legacy(token string) (Grant, *trackway.Error) {
	p := k.find(token)
	switch {
	case token == "":
		return Grant{}, errNoProject
	case p == nil:
		return Grant{}, errProject
	case !p.Legacy:
		return Grant{}, errLegacy
	}
	return Grant{Project: &p.Project, Key: legacyKey}, nil
}

// LegacyOff returns the error of [Keys.Legacy] if no project permits such
// calls, so that nobody has to look for the token in a body.
func (k *Keys) LegacyOff() *trackway.Error {
	for _, p := range k.projects {
		if p.Legacy {
			return nil
		}
	}
	return errLegacy
}
