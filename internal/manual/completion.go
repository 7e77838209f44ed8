package manual

import (
	"fmt"
	"strconv"
	"strings"
)

// Shells are the shells that [Completion] knows.
var Shells = []string{"bash", "zsh", "fish"}

// Completion returns a script that makes a shell complete the commands, flags
// and names of files of a program. The shell must be one of [Shells].
func Completion(root *Command, shell string) (string, error) {
	switch shell {
	case "bash":
		return bash(root), nil
	case "zsh":
		return zsh(root), nil
	case "fish":
		return fish(root), nil
	}
	return "", fmt.Errorf("there is no completion for %q, only for %s", shell, strings.Join(Shells, ", "))
}

// bash finds the command in the words before the cursor, and then looks at the
// word before the cursor: a flag that takes a value decides what follows.
func bash(root *Command) string {
	var commands, values, words strings.Builder
	root.each(nil, func(path []string, c *Command) {
		at := strings.Join(path, " ")
		if len(path) > 0 {
			fmt.Fprintf(&commands, "\t\t%q) at=%q ;;\n", at, at)
		}
		for _, f := range c.Flags {
			if f.Value != "" {
				fmt.Fprintf(&values, "\t%q) %s; return ;;\n", strings.TrimPrefix(at+" --"+f.Name, " "), bashValue(f.Value, f.Choices))
			}
		}
		list := []string{"--help"}
		for i := range c.Commands {
			list = append(list, c.Commands[i].Name)
		}
		for _, f := range c.Flags {
			list = append(list, "--"+f.Name)
		}
		files := ":"
		for _, a := range c.Args {
			list = append(list, a.Choices...)
			if a.Name == file || a.Name == directory {
				files = bashValue(a.Name, nil)
			}
		}
		fmt.Fprintf(&words, "\t%q) words=%q; [[ $cur == -* ]] || %s ;;\n", at, strings.Join(list, " "), files)
	})
	return fmt.Sprintf(`# Completion of %[1]s for bash. Source it, or put it into
# /usr/share/bash-completion/completions/%[1]s.
_%[1]s() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= words= i
	# bash makes the sign in --flag=value a word of its own.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = && $COMP_CWORD -gt 1 ]]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	fi
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case "${at:+$at }${COMP_WORDS[i]}" in
%[2]s		esac
	done
	case "${at:+$at }$prev" in
%[3]s	esac
	case "$at" in
%[4]s	esac
	COMPREPLY+=($(compgen -W "$words" -- "$cur"))
}
complete -o filenames -F _%[1]s %[1]s
`, root.Name, commands.String(), values.String(), words.String())
}

// bashValue returns the command that completes a value.
func bashValue(value string, choices []string) string {
	switch {
	case len(choices) > 0:
		return fmt.Sprintf(`COMPREPLY=($(compgen -W %q -- "$cur"))`, strings.Join(choices, " "))
	case value == file:
		return `COMPREPLY=($(compgen -f -- "$cur"))`
	case value == directory:
		return `COMPREPLY=($(compgen -d -- "$cur"))`
	}
	return "COMPREPLY=()"
}

// zsh has a function for each command. _arguments does the work.
func zsh(root *Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\n# Completion of %[1]s for zsh: put it into a folder of $fpath, as _%[1]s.\n", root.Name)
	root.each([]string{"_" + root.Name}, func(path []string, c *Command) {
		name := strings.Join(path, "_")
		fmt.Fprintf(&b, "\n%s() {\n", name)
		specs := []string{zshWord("--help[Show help.]")}
		for _, f := range c.Flags {
			specs = append(specs, zshFlag(&f))
		}
		for i, a := range c.Args {
			which := strconv.Itoa(i + 1)
			if a.Repeats {
				which = "*"
			}
			specs = append(specs, zshWord(which+":"+strings.ToLower(a.Name)+":"+zshValue(a.Name, a.Choices)))
		}
		if len(c.Commands) == 0 {
			fmt.Fprintf(&b, "\t_arguments -s \\\n\t\t%s\n}\n", strings.Join(specs, " \\\n\t\t"))
			return
		}
		specs = append(specs, "'1:command:->command'", "'*::argument:->argument'")
		fmt.Fprintf(&b, "\tlocal context state line\n\ttypeset -A opt_args\n\tlocal -a commands\n\tcommands=(\n")
		for i := range c.Commands {
			fmt.Fprintf(&b, "\t\t%s\n", zshWord(c.Commands[i].Name+":"+summary(c.Commands[i].Help)))
		}
		fmt.Fprintf(&b, "\t)\n\t_arguments -C \\\n\t\t%s\n\tcase $state in\n\tcommand) _describe command commands ;;\n\targument)\n\t\tcase $words[1] in\n",
			strings.Join(specs, " \\\n\t\t"))
		for i := range c.Commands {
			fmt.Fprintf(&b, "\t\t%[1]s) %[2]s_%[1]s ;;\n", c.Commands[i].Name, name)
		}
		fmt.Fprintf(&b, "\t\tesac\n\t\t;;\n\tesac\n}\n")
	})
	fmt.Fprintf(&b, "\nif [ \"$funcstack[1]\" = _%[1]s ]; then\n\t_%[1]s \"$@\"\nelse\n\tcompdef _%[1]s %[1]s\nfi\n", root.Name)
	return b.String()
}

func zshFlag(f *Flag) string {
	// In a specification, these characters end the description.
	help := strings.NewReplacer(`[`, `\[`, `]`, `\]`, `:`, `\:`).Replace(summary(f.Help))
	spec := "--" + f.Name + "[" + help + "]"
	if f.Value != "" {
		spec = "--" + f.Name + "=[" + help + "]:" + strings.ReplaceAll(strings.ToLower(f.Value), ":", `\:`) + ":" + zshValue(f.Value, f.Choices)
	}
	return zshWord(spec)
}

func zshValue(value string, choices []string) string {
	switch {
	case len(choices) > 0:
		return "(" + strings.Join(choices, " ") + ")"
	case value == file:
		return "_files"
	case value == directory:
		return "_files -/"
	}
	return ""
}

// zshWord quotes a word, for zsh and fish.
func zshWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// fish has a line for each word, with the condition under which it fits.
func fish(root *Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of %[1]s for fish: put it into ~/.config/fish/completions/%[1]s.fish.\ncomplete -c %[1]s -f\ncomplete -c %[1]s -l help -d 'Show help'\n", root.Name)
	root.each(nil, func(path []string, c *Command) {
		when := fishCondition(path, c)
		for i := range c.Commands {
			below := &c.Commands[i]
			fmt.Fprintf(&b, "complete -c %s -n %s -a %s -d %s\n", root.Name, zshWord(when), below.Name, zshWord(summary(below.Help)))
		}
		for _, f := range c.Flags {
			fmt.Fprintf(&b, "complete -c %s -n %s -l %s%s -d %s\n", root.Name, zshWord(when), f.Name, fishValue(f.Value, f.Choices), zshWord(summary(f.Help)))
		}
		for _, a := range c.Args {
			if rest := fishValue(a.Name, a.Choices); rest != " -x" {
				fmt.Fprintf(&b, "complete -c %s -n %s%s\n", root.Name, zshWord(when), strings.Replace(strings.Replace(rest, " -r", "", 1), " -x", "", 1))
			}
		}
	})
	return b.String()
}

// fishCondition is true on the command line of a command, as long as it names
// no command below it.
func fishCondition(path []string, c *Command) string {
	var all []string
	for _, name := range path {
		all = append(all, "__fish_seen_subcommand_from "+name)
	}
	var below []string
	for i := range c.Commands {
		below = append(below, c.Commands[i].Name)
	}
	if len(below) > 0 {
		all = append(all, "not __fish_seen_subcommand_from "+strings.Join(below, " "))
	}
	return strings.Join(all, "; and ")
}

func fishValue(value string, choices []string) string {
	switch {
	case value == "":
		return ""
	case len(choices) > 0:
		return " -x -a " + zshWord(strings.Join(choices, " "))
	case value == file:
		return " -r -F"
	case value == directory:
		return " -x -a '(__fish_complete_directories)'"
	}
	return " -x"
}
