package audit

import (
	"os/user"
	"strconv"
)

// Person returns the name of a user of the operating system, or the number if
// there is no name.
func Person(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
