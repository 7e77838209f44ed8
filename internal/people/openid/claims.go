package openid

import (
	"errors"
	"slices"

	"trackway/internal/people"
)

// user returns the user for an account with some claims. Without a group that
// has a role, nobody gets in.
func (s *Settings) user(claims map[string]any, terms string) (*people.User, error) {
	subject, _ := claims["sub"].(string)
	const most = 255 // OpenID Connect Core, section 2
	if subject == "" || len(subject) > most {
		return nil, &Refusal{Reason: Invalid, Cause: errors.New("the ID token has no good sub")}
	}
	name := s.name(claims)
	if name == "" {
		name = subject
	}
	var roles []string
	groups := texts(claim(claims, s.GroupsClaim))
	for i := range s.Groups {
		if slices.Contains(groups, s.Groups[i].Name) {
			roles = append(roles, s.Groups[i].Roles...)
		}
	}
	user, err := people.Vouched(people.Account{Subject: subject, Terms: terms}, name, roles)
	switch {
	case err != nil:
		return nil, &Refusal{Reason: Invalid, Cause: err}
	case s.needsMail() && !verified(claims):
		return nil, &Refusal{Reason: Unverified, Account: user.Name}
	case user.Most() == people.Nobody:
		return nil, &Refusal{Reason: NoAccess, Account: user.Name}
	}
	return user, nil
}

// name returns the name that an account shows. Its subject says whose it is.
func (s *Settings) name(claims map[string]any) string {
	if s.NameClaim != nil {
		name, _ := claim(claims, s.NameClaim).(string)
		return name
	}
	name, _ := claims["preferred_username"].(string)
	if name == "" && verified(claims) {
		name, _ = claims["email"].(string)
	}
	return name
}

var mail = []string{"email"}

// needsMail reports whether the configuration trusts in the mail address of an
// account.
func (s *Settings) needsMail() bool {
	return slices.Equal(s.NameClaim, mail) || slices.Equal(s.GroupsClaim, mail)
}

// verified reports whether the provider has verified the mail address. Some
// send the text "true".
func verified(claims map[string]any) bool {
	switch v := claims["email_verified"].(type) {
	case bool:
		return v
	case string:
		return v == "true"
	}
	return false
}

// claim returns the claim at a path, or nil. Each name on the path is that of a
// claim as a whole, dots included.
func claim(claims map[string]any, path []string) any {
	var at any = claims
	for _, name := range path {
		within, _ := at.(map[string]any)
		at = within[name]
	}
	return at
}

// texts returns a claim that is a text, or a list of texts.
func texts(of any) (list []string) {
	switch of := of.(type) {
	case string:
		return []string{of}
	case []any:
		for _, one := range of {
			if text, ok := one.(string); ok {
				list = append(list, text)
			}
		}
	}
	return list
}
