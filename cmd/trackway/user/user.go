// Package user has the commands of trackway user. They change the managed file,
// and make the running server use it.
package user

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"

	"trackway"
	"trackway/cmd/trackway/command"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/control"
	"trackway/internal/people"
	"trackway/internal/terminal"
)

// Command is the commands, for the parser of the command line.
type Command struct {
	List     listCommand     `cmd:"" help:"List the users with their roles and sessions."`
	Add      addCommand      `cmd:"" help:"Add a user. The password comes from a prompt, or from the first line of the standard input."`
	Set      setCommand      `cmd:"" help:"Give a user other roles. The user's sessions end."`
	Remove   removeCommand   `cmd:"" help:"Remove a user. The user's sessions end."`
	Password passwordCommand `cmd:"" help:"Give a user another password, from a prompt or the standard input. The user's sessions end."`
	SignOut  signOutCommand  `cmd:"" help:"End all sessions of a user."`
}

// flags are the flags of each command.
type flags struct {
	command.Flags
}

// named is the argument of a command about one user.
type named struct {
	Name string `arg:"" help:"Name of the user." placeholder:"NAME"`
}

// read returns the configuration.
func (f *flags) read() (*config.Config, error) {
	return config.LoadElsewhere(f.Config, config.Flags{DataDir: f.DataDir})
}

// change changes the users in the managed file, and makes the running server
// use them.
func (f *flags) change(t command.Tools, e *audit.Entry, done string, do func(people.List) (people.List, error)) error {
	ctx, stop := t.Until()
	defer stop()
	cfg, err := command.Change(f.Config, f.DataDir, t.Stderr, e, func(k *config.Keys) error { return k.ChangeUsers(do) })
	if err != nil {
		return err
	}
	terminal.Say(t.Stdout, "%s in %s.\n", done, cfg.ManagedPath())
	err = f.Ask(ctx, t, http.MethodPost, "/users/reload", nil, nil)
	switch {
	case errors.Is(err, control.ErrNobody):
		terminal.Say(t.Stdout, "No server is running: the next one uses it.\n")
	case err != nil:
		return fmt.Errorf("the file is changed, but not in force: %w", err)
	default:
		terminal.Say(t.Stdout, "The running server uses it.\n")
	}
	return nil
}

type listCommand struct{ flags }

// Run lists the users.
func (c *listCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	cfg, err := c.read()
	if err != nil {
		return err
	}
	var open struct{ Sessions []struct{ User string } }
	err = c.Ask(ctx, t, http.MethodGet, "/users/sessions", nil, &open)
	alone := errors.Is(err, control.ErrNobody)
	if err != nil && !alone {
		return err
	}
	columns := terminal.NewColumns(t.Stdout)
	columns.Row("USER", "ROLES", "SESSIONS")
	for i := range cfg.Users {
		u := &cfg.Users[i]
		sessions := "-"
		if !alone {
			n := 0
			for _, s := range open.Sessions {
				if s.User == u.Name {
					n++
				}
			}
			sessions = strconv.Itoa(n)
		}
		columns.Row(u.Name, strings.Join(shown(cfg, u), " "), sessions)
	}
	return columns.Flush()
}

// shown returns the roles of a user with the names of the projects.
func shown(cfg *config.Config, u *people.User) []string {
	list := u.Roles()
	for i, text := range list {
		role, token, _ := strings.Cut(text, ":")
		for j := range cfg.Projects {
			if p := &cfg.Projects[j]; p.Token == token {
				list[i] = role + ":" + p.Name
			}
		}
	}
	return list
}

// roles is the flag of the commands that give roles.
type roles struct {
	Role []string `help:"viewer, analyst, operator or admin, for all projects; or ROLE:PROJECT for one, by its name or token. Can be repeated." placeholder:"ROLE" required:"" sep:"none"`
}

// of returns the roles with the tokens of the projects that they name.
func (r *roles) of(cfg *config.Config) ([]string, error) {
	var list []string
	for _, text := range r.Role {
		role, project, in := strings.Cut(text, ":")
		if !in {
			list = append(list, text)
			continue
		}
		i := slices.IndexFunc(cfg.Projects, func(p trackway.Project) bool { return p.Name == project || strings.EqualFold(p.Token, project) })
		if i < 0 {
			return nil, fmt.Errorf("--role %s: there is no project %q", text, project)
		}
		list = append(list, role+":"+cfg.Projects[i].Token)
	}
	return list, nil
}

type addCommand struct {
	flags
	named
	roles
}

// Run adds a user.
func (c *addCommand) Run(t command.Tools) error {
	cfg, err := c.read()
	if err != nil {
		return err
	}
	list, err := c.of(cfg)
	if err != nil {
		return err
	}
	user, err := people.NewUser(strings.ToLower(c.Name), "", list)
	if err == nil {
		_, err = cfg.Users.Add(user) // so that a wrong name costs nobody a password
	}
	if err != nil {
		return err
	}
	if user.Password, err = password(t, user.Name); err != nil {
		return err
	}
	e := command.Entry(audit.UserAdd, user.Name)
	e.Detail = strings.Join(shown(cfg, &user), " ")
	return c.change(t, e, "User "+user.Name+" is", func(users people.List) (people.List, error) { return users.Add(user) })
}

type setCommand struct {
	flags
	named
	roles
}

// Run gives a user other roles.
func (c *setCommand) Run(t command.Tools) error {
	cfg, err := c.read()
	if err != nil {
		return err
	}
	list, err := c.of(cfg)
	if err != nil {
		return err
	}
	name := strings.ToLower(c.Name)
	e := command.Entry(audit.UserChange, name)
	e.Detail = strings.Join(c.Role, " ")
	return c.change(t, e, "The roles of "+name+" are", func(users people.List) (people.List, error) {
		return users.Change(name, func(u people.User) (people.User, error) { return u.WithRoles(list) })
	})
}

type removeCommand struct {
	flags
	named
}

// Run removes a user.
func (c *removeCommand) Run(t command.Tools) error {
	name := strings.ToLower(c.Name)
	return c.change(t, command.Entry(audit.UserRemove, name), "User "+name+" is no longer", func(users people.List) (people.List, error) { return users.Remove(name) })
}

type passwordCommand struct {
	flags
	named
}

// Run gives a user another password.
func (c *passwordCommand) Run(t command.Tools) error {
	cfg, err := c.read()
	if err != nil {
		return err
	}
	name := strings.ToLower(c.Name)
	if _, err := cfg.Users.Remove(name); err != nil {
		return err
	}
	hash, err := password(t, name)
	if err != nil {
		return err
	}
	return c.change(t, command.Entry(audit.UserPassword, name), "The password of "+name+" is", func(users people.List) (people.List, error) {
		return users.Change(name, func(u people.User) (people.User, error) {
			u.Password = hash
			return u, nil
		})
	})
}

type signOutCommand struct {
	flags
	named
}

// Run ends the sessions of a user.
func (c *signOutCommand) Run(t command.Tools) error {
	ctx, stop := t.Until()
	defer stop()
	cfg, err := c.read()
	if err != nil {
		return err
	}
	name := strings.ToLower(c.Name)
	if _, err := cfg.Users.Remove(name); err != nil {
		return err
	}
	var done struct{ Ended int }
	err = c.Ask(ctx, t, http.MethodPost, "/users/sign-out", url.Values{"name": {name}}, &done)
	switch {
	case errors.Is(err, control.ErrNobody):
		terminal.Say(t.Stdout, "No server is running, so nobody is signed in.\n")
	case err != nil:
		return err
	default:
		terminal.Say(t.Stdout, "Sessions of %s that ended: %d.\n", name, done.Ended)
	}
	return nil
}

// password reads a new password, and returns it in the form in which it is
// kept. At a terminal it asks twice, and the terminal does not show what is
// typed.
func password(t command.Tools, name string) (hash string, err error) {
	var text string
	if f, ok := t.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if text, err = typed(t, f, "Password for "+name+": "); err != nil {
			return "", err
		}
		again, err := typed(t, f, "The same again: ")
		if err != nil {
			return "", err
		}
		if again != text {
			return "", errors.New("the two passwords differ: nothing was changed")
		}
	} else {
		const most = 4 << 10
		if text, err = bufio.NewReader(io.LimitReader(t.Stdin, most)).ReadString('\n'); err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		text = strings.TrimRight(text, "\r\n")
	}
	if err := people.CheckPassword(name, text); err != nil {
		return "", err
	}
	return people.Hash(text), nil
}

func typed(t command.Tools, f *os.File, prompt string) (string, error) {
	terminal.Say(t.Stderr, "%s", prompt)
	text, err := term.ReadPassword(int(f.Fd()))
	terminal.Say(t.Stderr, "\n")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(text), nil
}
