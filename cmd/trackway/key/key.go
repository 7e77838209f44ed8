// Package key has the commands of trackway key. They change the managed file,
// and make the running server use it if they are told to.
package key

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"trackway"
	"trackway/cmd/trackway/command"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/terminal"
)

// Command is the commands, for the parser of the command line.
type Command struct {
	List   listCommand   `cmd:"" help:"List all keys with their permissions, rotations and files. No secrets."`
	Add    addCommand    `cmd:"" help:"Add a key. Its secret is printed once; only a digest is stored."`
	Rotate rotateCommand `cmd:"" help:"Give a key a new secret, or a public key a new token. The present one keeps working for a while."`
	Revoke revokeCommand `cmd:"" help:"Revoke a key."`
}

type listCommand struct{ command.Flags }

// Run lists the keys.
func (c *listCommand) Run(t command.Tools) error {
	keys, err := config.ReadKeys(c.Config, config.Flags{DataDir: c.DataDir})
	if err != nil {
		return err
	}
	return listKeys(t.Stdout, keys.List(), time.Now())
}

func listKeys(w io.Writer, keys []config.PlacedKey, now time.Time) error {
	t := terminal.NewColumns(w)
	t.Row("PROJECT", "KEY", "KIND", "ID OR TOKEN", "PERMISSIONS", "PREVIOUS", "WRITTEN IN")
	for i := range keys {
		k := &keys[i]
		t.Row(k.Project, k.Name, k.Kind, k.ID, permissionsOf(k), previousOf(&k.Key, now), fmt.Sprintf("%s:%d", k.File, k.Line))
	}
	return t.Flush()
}

// permissionsOf lists the permissions of a key as the configuration writes
// them.
func permissionsOf(k *config.PlacedKey) string {
	switch {
	case k.Project == config.ServerKeys:
		return "the admin API"
	case k.Permissions == nil && k.Kind == trackway.PrivateKey:
		return "all"
	case k.Permissions == nil:
		return string(trackway.SetCustomers + " " + trackway.SetEvents)
	}
	var list []string
	for _, p := range slices.Sorted(maps.Keys(k.Permissions)) {
		if names := k.Permissions[p]; len(names) > 0 {
			for _, name := range names {
				list = append(list, string(p)+":"+name)
			}
			continue
		}
		list = append(list, string(p))
	}
	return strings.Join(list, " ")
}

// previousOf says until when the credentials from before a rotation work.
func previousOf(k *trackway.Key, now time.Time) string {
	switch {
	case k.PreviousUntil.IsZero():
		return "-"
	case now.Before(k.PreviousUntil):
		return "until " + k.PreviousUntil.UTC().Format(time.RFC3339)
	}
	return "ended"
}

// changing has the flags of every command that changes a key.
type changing struct {
	command.Flags
	serverReload

	Project string `help:"Name or token of the project, if there are several." placeholder:"NAME" xor:"of"`
	Admin   bool   `help:"A key of the server, which belongs to no project. Its holder may change the configuration by the admin API." xor:"of"`
	Name    string `arg:"" help:"Name of the key."`
}

// AfterApply chooses the keys that the command is about.
func (c *changing) AfterApply(ctx *kong.Context) error {
	if c.Admin {
		c.Project = config.ServerKeys
	}
	return c.Flags.AfterApply(ctx)
}

// change changes the keys, and records that.
func (c *changing) change(t command.Tools, action audit.Action, do func(*config.Keys) error) (*config.Config, error) {
	e := command.Entry(action, c.Name)
	return command.Change(c.Config, c.DataDir, t.Stderr, e, func(keys *config.Keys) (err error) {
		if e.Project, err = keys.Project(c.Project); err != nil {
			return err
		}
		return do(keys)
	})
}

// sayUnused says which line of the operator's file has no effect after a
// change.
func sayUnused(t command.Tools, place string) {
	if place != "" {
		terminal.Say(t.Stdout, "%s has no effect any more: you may remove that line.\n", place)
	}
}

const shownOnce = "The secret is shown only now: the file holds only its digest.\n"

type addCommand struct {
	changing

	Kind       string   `default:"" enum:"public,private," help:"public (may track, for browsers and apps) or private." placeholder:"KIND"`
	Permission []string `help:"Permission, such as events:get or customers:get:first_name; can be repeated. Without it: all permissions of the kind." placeholder:"WHAT" sep:"none"`
}

// Validate checks what belongs together.
func (c *addCommand) Validate() error {
	switch {
	case c.Admin && (c.Kind == string(trackway.PublicKey) || len(c.Permission) > 0):
		return errors.New("--admin: a key of the server is private, and has no --permission")
	case !c.Admin && c.Kind == "":
		return errors.New("missing flags: --kind=KIND")
	}
	return nil
}

// Run adds a key.
func (c *addCommand) Run(t command.Tools) error {
	if c.Admin {
		c.Kind = string(trackway.PrivateKey)
	}
	var id, secret string
	cfg, err := c.change(t, audit.KeyAdd, func(keys *config.Keys) (err error) {
		id, secret, err = keys.Add(c.Project, c.Name, trackway.KeyKind(c.Kind), c.Permission)
		return err
	})
	if err != nil {
		return err
	}
	terminal.Say(t.Stdout, "Key %s is in %s.\n", c.Name, cfg.ManagedPath())
	if secret == "" {
		terminal.Say(t.Stdout, "token: %s\n", id)
	} else {
		terminal.Say(t.Stdout, "id: %s\nsecret: %s\n"+shownOnce, id, secret)
	}
	return c.apply(cfg, t.Stdout)
}

type rotateCommand struct {
	changing

	Overlap time.Duration `default:"24h" help:"How long the present secret or token keeps working (${default}, at most 24h; 0 ends it at once)." placeholder:"TIME"`
}

// Run rotates a key.
func (c *rotateCommand) Run(t command.Tools) error {
	if c.Overlap < 0 || c.Overlap > config.MaxOverlap {
		return fmt.Errorf("--overlap %v: must be from 0 to %.0fh", c.Overlap, config.MaxOverlap.Hours())
	}
	var kind trackway.KeyKind
	var made, unused string
	until := time.Now().Add(c.Overlap).UTC().Truncate(time.Second)
	cfg, err := c.change(t, audit.KeyRotate, func(keys *config.Keys) (err error) {
		kind, made, unused, err = keys.Rotate(c.Project, c.Name, until)
		return err
	})
	if err != nil {
		return err
	}
	terminal.Say(t.Stdout, "Key %s is changed in %s.\n", c.Name, cfg.ManagedPath())
	what := "token"
	if kind == trackway.PrivateKey {
		what = "secret"
	}
	terminal.Say(t.Stdout, "%s: %s\n", what, made)
	if kind == trackway.PrivateKey {
		terminal.Say(t.Stdout, shownOnce)
	}
	if c.Overlap > 0 {
		terminal.Say(t.Stdout, "The previous %s keeps working until %s.\n", what, until.Format(time.RFC3339))
	}
	sayUnused(t, unused)
	return c.apply(cfg, t.Stdout)
}

type revokeCommand struct{ changing }

// Run revokes a key.
func (c *revokeCommand) Run(t command.Tools) error {
	var unused string
	cfg, err := c.change(t, audit.KeyRevoke, func(keys *config.Keys) (err error) {
		unused, err = keys.Revoke(c.Project, c.Name)
		return err
	})
	if err != nil {
		return err
	}
	if unused == "" {
		terminal.Say(t.Stdout, "Key %s was removed from %s.\n", c.Name, cfg.ManagedPath())
	} else {
		terminal.Say(t.Stdout, "Key %s is revoked in %s.\n", c.Name, cfg.ManagedPath())
	}
	sayUnused(t, unused)
	return c.apply(cfg, t.Stdout)
}
