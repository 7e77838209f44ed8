package people

import (
	"slices"
	"strings"
	"unicode"
)

// Account is an account of a provider, which vouches for whom it belongs to.
type Account struct {
	Subject string // names the account at the provider, and never another one
	Terms   string // a text that changes with what the user's name and roles depend on; not empty
}

// accountMark begins the names of accounts. The name of a user has no colon, so
// no account is taken for a user.
const accountMark = "oidc:"

// mostShown bounds the name of an account, in characters.
const mostShown = 100

// Vouched returns the user for an account that has a name at its provider, with
// the union of some roles, which may be none.
func Vouched(a Account, name string, roles []string) (*User, error) {
	u := &User{Name: accountMark + shown(name), In: make(map[string]Role), Account: &a}
	return u, u.add(roles)
}

// IsAccount reports whether a name is that of an account.
func IsAccount(name string) bool { return strings.HasPrefix(name, accountMark) }

// shown returns a text of a provider without what could disturb a page or a
// terminal, such as characters that change the direction of writing.
func shown(name string) string {
	text := []rune(strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, strings.ToValidUTF8(name, ""))))
	return string(slices.Clip(text[:min(len(text), mostShown)]))
}

// Key distinguishes the user from all others. Two accounts may have the same
// name.
func (u *User) Key() string {
	if u.Account != nil {
		return accountMark + u.Account.Subject
	}
	return u.Name
}
