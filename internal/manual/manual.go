// Package manual writes man pages and shell completions for a tree of commands.
// It knows nothing about how the command line is parsed.
package manual

import (
	"slices"
	"strings"
)

// Command is a command, with its flags and arguments or with the commands below
// it.
type Command struct {
	Name     string // one word
	Help     string // one sentence or more
	Flags    []Flag
	Args     []Arg
	Commands []Command
}

// Flag is a flag of a command.
type Flag struct {
	Name     string // without the dashes
	Short    rune   // 0: none
	Value    string // what stands for the value, such as FILE; empty: the flag takes none
	Choices  []string
	Help     string
	Envs     []string // the variables that set it
	Required bool
}

// Arg is an argument of a command.
type Arg struct {
	Name              string // what stands for it, such as FILE
	Help              string
	Choices           []string
	Optional, Repeats bool
}

// The values that stand for names of files and directories. Shells complete
// these.
const (
	file      = "FILE"
	directory = "DIR"
)

// summary is the first sentence of a help text, without its full stop.
func summary(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(first, ".")
}

// each calls do with every command of a tree, each before those below it. path
// has the names from below the root to the command.
func (c *Command) each(path []string, do func(path []string, c *Command)) {
	do(path, c)
	for i := range c.Commands {
		below := &c.Commands[i]
		below.each(append(slices.Clip(path), below.Name), do)
	}
}
