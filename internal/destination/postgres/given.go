package postgres

import (
	"errors"
	"net/url"
	"os"
	"strings"
)

// elsewhere are the settings of a connection that the driver otherwise takes
// from the server's environment or home directory, each with the value that
// stands for "not given". The names are those of libpq:
// https://www.postgresql.org/docs/current/libpq-envars.html. A URL has the
// first five before its query.
var elsewhere = []struct{ name, none string }{
	{"host", "localhost"},
	{"port", ""},
	{"user", ""},
	{"password", ""},
	{"dbname", ""},
	{"passfile", ""},
	{"servicefile", ""},
	{"options", ""},
	{"application_name", ""},
	{"connect_timeout", "15"},
	{"sslmode", "prefer"},
	{"sslcert", ""},
	{"sslkey", ""},
	{"sslcertmode", "allow"},
	{"sslrootcert", ""},
	{"sslpassword", ""},
	{"sslsni", ""},
	{"sslnegotiation", ""},
	{"target_session_attrs", "any"},
	{"min_protocol_version", ""},
	{"max_protocol_version", ""},
	{"channel_binding", ""},
	{"require_auth", ""},
	{"timezone", ""},
}

// errService says why a destination cannot ignore the server's environment.
var errService = errors.New("url: the server's environment has PGSERVICE, which this destination must not follow, because it comes from the managed file: unset the variable, or put the destination into the operator's file")

// alone completes a URL, or a list of settings, so that the driver takes
// nothing from the server's environment or home directory. The caller who made
// the destination chose its host, and must not get the server's password there.
// The driver uses the last value of a setting, so the values that stand for
// "not given" come first.
func alone(text string) (string, error) {
	if os.Getenv("PGSERVICE") != "" { //nolint:forbidigo // the driver reads it, and no setting overrides it
		return "", errService
	}
	scheme, rest, isURL := strings.Cut(text, "://")
	if !isURL || scheme != "postgres" && scheme != "postgresql" {
		var first strings.Builder
		for _, s := range elsewhere {
			first.WriteString(s.name + "='" + s.none + "' ")
		}
		return first.String() + text, nil
	}
	// As the driver does: an @ before the first slash ends the user.
	who := ""
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		who, rest = rest[:i+1], rest[i+1:]
	}
	before, query, _ := strings.Cut(rest, "?")
	where, database, _ := strings.Cut(before, "/")
	user, password, _ := strings.Cut(strings.TrimSuffix(who, "@"), ":")
	given := map[string]bool{
		"user": user != "", "password": password != "", "host": where != "" && where[0] != ':', "dbname": database != "",
		"port": strings.Contains(where[strings.LastIndexByte(where, ']')+1:], ":"),
	}
	first := make([]string, 0, len(elsewhere)+1)
	for _, s := range elsewhere {
		if !given[s.name] {
			first = append(first, s.name+"="+url.QueryEscape(s.none))
		}
	}
	if query != "" {
		first = append(first, query)
	}
	return scheme + "://" + who + before + "?" + strings.Join(first, "&"), nil
}
