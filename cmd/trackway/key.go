package main

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

type keyCommand struct {
	List   keyListCommand   `cmd:"" help:"List all keys with their permissions, rotations and files. No secrets."`
	Add    keyAddCommand    `cmd:"" help:"Add a key. Its secret is printed once; only a digest is stored."`
	Rotate keyRotateCommand `cmd:"" help:"Give a key a new secret, or a public key a new token. The present one keeps working for a while."`
	Revoke keyRevokeCommand `cmd:"" help:"Revoke a key."`
}

// keyFiles are the flags of every command that works on keys: the two files
// that contain keys.
type keyFiles struct {
	configFile

	DataDir string `env:"TRACKWAY_DATA" help:"Data directory; overrides the configuration." name:"data" placeholder:"DIR"`
}

type keyListCommand struct{ keyFiles }

// Run lists the keys.
func (c *keyListCommand) Run(out output) error {
	keys, err := config.ReadKeys(c.Config, config.Flags{DataDir: c.DataDir})
	if err != nil {
		return err
	}
	return listKeys(out.stdout, keys.List(), time.Now())
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

// keyChange has the flags of every command that changes a key.
type keyChange struct {
	keyFiles
	serverReload

	Project string `help:"Name or token of the project, if there are several." placeholder:"NAME" xor:"of"`
	Admin   bool   `help:"A key of the server, which belongs to no project: whoever has it may change the configuration by the admin API." xor:"of"`
	Name    string `arg:"" help:"Name of the key."`
}

// AfterApply chooses the keys that the command is about.
func (c *keyChange) AfterApply(ctx *kong.Context) error {
	if c.Admin {
		c.Project = config.ServerKeys
	}
	return c.keyFiles.AfterApply(ctx)
}

// change changes the keys, and records that.
func (c *keyChange) change(out output, action audit.Action, do func(*config.Keys) error) (*config.Config, error) {
	e := command.Entry(action, c.Name)
	return command.Change(c.Config, c.DataDir, out.stderr, e, func(keys *config.Keys) (err error) {
		if e.Project, err = keys.Project(c.Project); err != nil {
			return err
		}
		return do(keys)
	})
}

// sayUnused says which line of the operator's file has no effect after a
// change.
func sayUnused(out output, place string) {
	if place != "" {
		terminal.Say(out.stdout, "%s has no effect any more: you may remove that line.\n", place)
	}
}

const shownOnce = "The secret is shown only now: the file holds only its digest.\n"

type keyAddCommand struct {
	keyChange

	Kind       string   `default:"" enum:"public,private," help:"public (may track, for browsers and apps) or private." placeholder:"KIND"`
	Permission []string `help:"Permission, such as events:get or customers:get:first_name; can be repeated. Without it: all permissions of the kind." placeholder:"WHAT" sep:"none"`
}

// Validate checks what belongs together.
func (c *keyAddCommand) Validate() error {
	switch {
	case c.Admin && (c.Kind == string(trackway.PublicKey) || len(c.Permission) > 0):
		return errors.New("--admin: a key of the server is private, and has no --permission")
	case !c.Admin && c.Kind == "":
		return errors.New("missing flags: --kind=KIND")
	}
	return nil
}

// Run adds a key.
func (c *keyAddCommand) Run(out output) error {
	if c.Admin {
		c.Kind = string(trackway.PrivateKey)
	}
	var id, secret string
	cfg, err := c.change(out, audit.KeyAdd, func(keys *config.Keys) (err error) {
		id, secret, err = keys.Add(c.Project, c.Name, trackway.KeyKind(c.Kind), c.Permission)
		return err
	})
	if err != nil {
		return err
	}
	terminal.Say(out.stdout, "Key %s is in %s.\n", c.Name, cfg.ManagedPath())
	if secret == "" {
		terminal.Say(out.stdout, "token: %s\n", id)
	} else {
		terminal.Say(out.stdout, "id: %s\nsecret: %s\n"+shownOnce, id, secret)
	}
	return c.apply(cfg, out)
}

type keyRotateCommand struct {
	keyChange

	Overlap time.Duration `default:"24h" help:"How long the present secret or token keeps working (${default}, at most 24h; 0 ends it at once)." placeholder:"TIME"`
}

// Run rotates a key.
func (c *keyRotateCommand) Run(out output) error {
	if c.Overlap < 0 || c.Overlap > config.MaxOverlap {
		return fmt.Errorf("--overlap %v: must be from 0 to %.0fh", c.Overlap, config.MaxOverlap.Hours())
	}
	var kind trackway.KeyKind
	var made, unused string
	until := time.Now().Add(c.Overlap).UTC().Truncate(time.Second)
	cfg, err := c.change(out, audit.KeyRotate, func(keys *config.Keys) (err error) {
		kind, made, unused, err = keys.Rotate(c.Project, c.Name, until)
		return err
	})
	if err != nil {
		return err
	}
	terminal.Say(out.stdout, "Key %s is changed in %s.\n", c.Name, cfg.ManagedPath())
	what := "token"
	if kind == trackway.PrivateKey {
		what = "secret"
	}
	terminal.Say(out.stdout, "%s: %s\n", what, made)
	if kind == trackway.PrivateKey {
		terminal.Say(out.stdout, shownOnce)
	}
	if c.Overlap > 0 {
		terminal.Say(out.stdout, "The previous %s keeps working until %s.\n", what, until.Format(time.RFC3339))
	}
	sayUnused(out, unused)
	return c.apply(cfg, out)
}

type keyRevokeCommand struct{ keyChange }

// Run revokes a key.
func (c *keyRevokeCommand) Run(out output) error {
	var unused string
	cfg, err := c.change(out, audit.KeyRevoke, func(keys *config.Keys) (err error) {
		unused, err = keys.Revoke(c.Project, c.Name)
		return err
	})
	if err != nil {
		return err
	}
	if unused == "" {
		terminal.Say(out.stdout, "Key %s was removed from %s.\n", c.Name, cfg.ManagedPath())
	} else {
		terminal.Say(out.stdout, "Key %s is revoked in %s.\n", c.Name, cfg.ManagedPath())
	}
	sayUnused(out, unused)
	return c.apply(cfg, out)
}
