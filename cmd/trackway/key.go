package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/config/edit"
)

type keyCommand struct {
	List   keyListCommand   `cmd:"" help:"All keys, what they may do, and which are being rotated. No secrets."`
	Add    keyAddCommand    `cmd:"" help:"Make a key. Its secret is printed once; the configuration holds its digest only."`
	Rotate keyRotateCommand `cmd:"" help:"Give a key a new secret, or a public key a new token. What it has now works for a while, too."`
	Revoke keyRevokeCommand `cmd:"" help:"Remove a key."`
}

type keyListCommand struct{ configFile }

// Run lists the keys.
func (c *keyListCommand) Run(out output) error {
	f, err := edit.Open(c.Config)
	if err != nil {
		return err
	}
	return listKeys(out.stdout, f.Config().Projects, time.Now())
}

func listKeys(w io.Writer, projects []trackway.Project, now time.Time) error {
	t := newColumns(w)
	t.row("PROJECT", "KEY", "KIND", "ID OR TOKEN", "PERMISSIONS", "PREVIOUS")
	for i := range projects {
		for j := range projects[i].Keys {
			k := &projects[i].Keys[j]
			t.row(projects[i].Name, k.Name, k.Kind, k.ID, permissionsOf(k), previousOf(k, now))
		}
	}
	return t.flush()
}

// permissionsOf lists what a key may do, as the configuration writes it.
func permissionsOf(k *trackway.Key) string {
	switch {
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

// previousOf says how long what a key had before a rotation works.
func previousOf(k *trackway.Key, now time.Time) string {
	switch {
	case k.PreviousUntil.IsZero():
		return "-"
	case now.Before(k.PreviousUntil):
		return "until " + k.PreviousUntil.UTC().Format(time.RFC3339)
	}
	return "ended"
}

// changing is the flags of every command that changes a key.
type changing struct {
	configFile
	reloadFlags

	Project string `help:"The project's name, if there are several." placeholder:"NAME"`
	Name    string `arg:"" help:"The key's name."`
}

// change opens the configuration, has it changed, and saves it.
func (c *changing) change(do func(*edit.File) error) (*config.Config, error) {
	f, err := edit.Open(c.Config)
	if err != nil {
		return nil, err
	}
	if err := do(f); err != nil {
		return nil, err
	}
	return f.Config(), f.Save()
}

type keyAddCommand struct {
	changing

	Kind       string   `enum:"public,private" help:"public (may track, for browsers and apps) or private." placeholder:"KIND" required:""`
	Permission []string `help:"What it may do, such as events:get or customers:get:first_name; may be repeated. Without: all that its kind may." placeholder:"WHAT" sep:"none"`
}

// Run makes a key.
func (c *keyAddCommand) Run(out output) error {
	k := edit.NewKey{Name: c.Name, Kind: trackway.KeyKind(c.Kind), ID: rand.Text(), Permissions: c.Permission}
	if k.Kind == trackway.PrivateKey {
		k.Secret = rand.Text()
	}
	cfg, err := c.change(func(f *edit.File) error { return f.Add(c.Project, k) })
	if err != nil {
		return err
	}
	say(out.stdout, "Key %s is in %s.\n", c.Name, c.Config)
	if k.Kind == trackway.PublicKey {
		say(out.stdout, "token: %s\n", k.ID)
	} else {
		say(out.stdout, "id: %s\nsecret: %s\nThe secret is shown this once: the file holds its digest only.\n", k.ID, k.Secret)
	}
	return c.apply(cfg, out)
}

type keyRotateCommand struct {
	changing

	Overlap time.Duration `default:"24h" help:"How long what it has now works, too (${default}, at most 24h; 0 ends it at once)." placeholder:"TIME"`
}

// Run rotates a key.
func (c *keyRotateCommand) Run(out output) error {
	if c.Overlap < 0 || c.Overlap > config.MaxOverlap {
		return fmt.Errorf("--overlap %v: must be from 0 to %.0fh", c.Overlap, config.MaxOverlap.Hours())
	}
	secret, until := rand.Text(), time.Now().Add(c.Overlap).UTC().Truncate(time.Second)
	kind := trackway.PublicKey
	cfg, err := c.change(func(f *edit.File) (err error) {
		kind, err = f.Rotate(c.Project, c.Name, secret, until)
		return err
	})
	if err != nil {
		return err
	}
	say(out.stdout, "Key %s is changed in %s.\n", c.Name, c.Config)
	what := "token"
	if kind == trackway.PrivateKey {
		what = "secret"
	}
	say(out.stdout, "%s: %s\n", what, secret)
	if kind == trackway.PrivateKey {
		say(out.stdout, "The secret is shown this once: the file holds its digest only.\n")
	}
	if c.Overlap > 0 {
		say(out.stdout, "The %s that it had works until %s, too.\n", what, until.Format(time.RFC3339))
	}
	return c.apply(cfg, out)
}

type keyRevokeCommand struct{ changing }

// Run removes a key.
func (c *keyRevokeCommand) Run(out output) error {
	cfg, err := c.change(func(f *edit.File) error { return f.Revoke(c.Project, c.Name) })
	if err != nil {
		return err
	}
	say(out.stdout, "Key %s is in %s no more.\n", c.Name, c.Config)
	return c.apply(cfg, out)
}
