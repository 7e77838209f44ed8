package people

import "context"

// ElsewhereError says that only another server can answer a user, because it
// holds the data of a project. It is no refusal.
type ElsewhereError struct {
	Project uint32
	Token   string // of the project
	User    string // the user's name
	Role    Role   // in the project
}

// Error implements error.
func (*ElsewhereError) Error() string { return "another server holds the data of the project" }

type asKey struct{}

// As returns the context of a request that another server has passed on for a
// user, whom it has let in. The user has a role in one project.
func As(ctx context.Context, name, project string, role Role) context.Context {
	return context.WithValue(ctx, asKey{}, &User{Name: name, In: map[string]Role{project: role}})
}

// Passed returns for whom another server has passed a request on, or nil if it
// was not passed on.
func Passed(ctx context.Context) *User {
	u, _ := ctx.Value(asKey{}).(*User)
	return u
}
