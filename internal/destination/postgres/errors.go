package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"trackway/internal/destination"
)

// The SQLSTATEs, and classes of them, that this package handles. See the
// appendix "PostgreSQL Error Codes" of PostgreSQL's documentation.
const (
	classConnection    = "08"
	classData          = "22"
	classAuthorization = "28"
	classSyntax        = "42" // syntax error or access rule violation
	classResources     = "53"
	classLimit         = "54" // program limit exceeded: a row that is too big, for example
	classState         = "55" // object not in prerequisite state: a lock timeout, for example
	classIntervention  = "57" // operator intervention: shutdown, statement timeout
	classSystem        = "58"
	classNoDatabase    = "3D"
	classUnsupported   = "0A"
	classTransaction   = "25" // invalid transaction state: a read-only standby, for example
	noPrivilege        = "42501"
	tooLarge           = "54000" // a row that is too big for a page or an index, for example
	dependents         = "2BP01"
	notReplaceable     = "42P16" // CREATE OR REPLACE VIEW would drop or rename a column
)

// quotable lists the classes whose messages name objects and roles, but never
// contain values of rows. Other messages do, such as: invalid input syntax for
// type integer: "…". In every class, a detail, hint or context may contain
// values.
var quotable = []string{
	classConnection, classAuthorization, classSyntax, classResources, classLimit, classState, classIntervention,
	classSystem, classNoDatabase, classUnsupported, classTransaction, "2B",
}

// state returns the SQLSTATE of an error of the server, or an empty text.
func state(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// unfit reports whether an error is about a value that the server cannot hold,
// so that the row would also fail on its own.
func unfit(err error) bool {
	code := state(err)
	return strings.HasPrefix(code, classData) || strings.HasPrefix(code, classLimit)
}

// clean returns an error that says what went wrong, but contains no credential
// and no value, which errors of pgx may contain. The result does not wrap err,
// unless err is our own or ctx has ended. But it wraps an error of the network,
// so that attempts are counted by kind.
func clean(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if final, ok := errors.AsType[*destination.FinalError](err); ok {
		return final
	}
	if ours, ok := errors.AsType[*plainError](err); ok {
		return ours
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	return &plainError{doing + ": " + reason(err), network(err)}
}

// reason says in our own words what an error means.
func reason(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return serverReason(e)
	}
	if several := interface{ Unwrap() []error }(nil); errors.As(err, &several) { // one for each address
		var all []string
		for _, e := range several.Unwrap() {
			if r := reason(e); !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
		return strings.Join(all, "; ")
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Error() // the addresses, and the system's message
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e.Error()
	}
	return driverReason(err)
}

// driverReason recognizes errors of pgx by their text. It does not return the
// whole text.
func driverReason(err error) string {
	text := err.Error()
	has := func(part string) bool { return strings.Contains(text, part) }
	switch tls := max(strings.LastIndex(text, "tls: "), strings.LastIndex(text, "x509: ")); {
	case pgconn.Timeout(err):
		return "the server does not answer in time"
	case has("unexpected EOF"), has("conn closed"), strings.HasSuffix(text, "EOF"):
		return "the connection broke"
	case has("refused TLS"):
		return "the server has no TLS, but sslmode asks for it"
	case tls >= 0:
		return "TLS failed: " + text[tls:]
	case has("standby"), has("read only"), has("read-only"):
		return "the server does not meet target_session_attrs"
	}
	return fmt.Sprintf("the driver failed (%T)", innermost(err))
}

// serverReason returns the server's message, as far as it has no values of
// rows.
func serverReason(e *pgconn.PgError) string {
	said := ""
	for _, class := range quotable {
		if strings.HasPrefix(e.Code, class) {
			said = e.Message + " "
		}
	}
	var where []string
	for _, w := range []struct{ what, name string }{
		{"table", e.TableName}, {"column", e.ColumnName}, {"constraint", e.ConstraintName}, {"type", e.DataTypeName},
	} {
		if w.name != "" {
			where = append(where, w.what+" "+w.name)
		}
	}
	if len(where) > 0 {
		return fmt.Sprintf("%s(SQLSTATE %s, %s)", said, e.Code, strings.Join(where, ", "))
	}
	return fmt.Sprintf("%s(SQLSTATE %s)", said, e.Code)
}

func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// network returns the network error that err wraps, or nil.
func network(err error) error {
	if pgconn.Timeout(err) {
		return os.ErrDeadlineExceeded
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e
	}
	return nil
}

// plainError is a temporary error in our own words.
type plainError struct {
	text    string
	network error // or nil
}

func (e *plainError) Error() string { return e.text }

func (e *plainError) Unwrap() error { return e.network }

func plain(format string, args ...any) error {
	return &plainError{text: fmt.Sprintf(format, args...)}
}

func final(format string, args ...any) error {
	return &destination.FinalError{Err: fmt.Errorf(format, args...)}
}
