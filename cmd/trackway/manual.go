package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"trackway/internal/manual"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Run prints the script.
func (c *completionCommand) Run(out output) error {
	script, err := manual.Completion(manualOf(newParser().Model.Node), c.Shell)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out.stdout, script)
	return err
}

type manCommand struct {
	Command string `arg:"" help:"Command whose page to print, such as serve; without it, the page of the program." optional:"" placeholder:"COMMAND"`
	Dir     string `help:"Write all pages into this directory instead." placeholder:"DIR"`
}

// Run prints a page, or writes all of them.
func (c *manCommand) Run(out output) error {
	info, _ := debug.ReadBuildInfo()
	name, _ := versionOf(version, info)
	pages := manual.Pages(manualOf(newParser().Model.Node), name)
	if c.Dir != "" {
		return writePages(c.Dir, pages)
	}
	page, ok := pages[strings.TrimSuffix("trackway-"+c.Command, "-")+".1"]
	if !ok {
		return fmt.Errorf("there is no command %q", c.Command)
	}
	_, err := io.WriteString(out.stdout, page)
	return err
}

func writePages(dir string, pages map[string]string) error {
	const all, dirs = 0o644, 0o755 // everybody may read a manual
	err := os.MkdirAll(dir, dirs)
	for name, page := range pages {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(page), all))
	}
	return err
}

// manualOf returns a command of the parser for the manual.
func manualOf(n *kong.Node) *manual.Command {
	c := &manual.Command{Name: n.Name, Help: n.Help}
	for _, f := range n.Flags {
		if f.Name == "help" || f.Hidden {
			continue
		}
		flag := manual.Flag{Name: f.Name, Short: f.Short, Choices: choices(f.Value), Help: f.Help, Envs: f.Envs, Required: f.Required}
		if !f.IsBool() {
			flag.Value = f.FormatPlaceHolder()
		}
		c.Flags = append(c.Flags, flag)
	}
	for _, a := range n.Positional {
		c.Args = append(c.Args, manual.Arg{
			Name: cmp.Or(a.Tag.PlaceHolder, strings.ToUpper(a.Name)), Help: a.Help, Choices: choices(a), Optional: !a.Required, Repeats: a.IsCumulative(),
		})
	}
	for _, below := range n.Children {
		if !below.Hidden {
			c.Commands = append(c.Commands, *manualOf(below))
		}
	}
	return c
}

func choices(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}
