package manual

import (
	"fmt"
	"strings"
)

// Pages returns a man page for the program and one for each of its commands, by
// the names of their files, such as trackway-serve.1. The pages are in the
// language of man(7). They have no date, so that the same program always has
// the same pages.
func Pages(root *Command, version string) map[string]string {
	pages := make(map[string]string)
	p := page{version: version}
	p.program(root)
	pages[root.Name+".1"] = p.String()
	for i := range root.Commands {
		c := &root.Commands[i]
		p := page{version: version}
		p.command(root, c)
		pages[root.Name+"-"+c.Name+".1"] = p.String()
	}
	return pages
}

type page struct {
	strings.Builder

	version string
}

// program writes the page of the program, which lists its commands.
func (p *page) program(root *Command) {
	p.head(root.Name, root.Help)
	p.printf(".SH SYNOPSIS\n.B %s\n.I COMMAND\n[\\fIFLAG\\fR...]\n", quoted(root.Name))
	p.printf(".SH DESCRIPTION\n%s\n", text(root.Help))
	p.printf(".SH COMMANDS\n")
	for i := range root.Commands {
		c := &root.Commands[i]
		p.printf(".TP\n.BR %s (1)\n%s\n", quoted(root.Name+"-"+c.Name), text(c.Help))
	}
	p.end()
}

// command writes the page of a command, with those below it.
func (p *page) command(root, c *Command) {
	name := root.Name + " " + c.Name
	p.head(root.Name+"-"+c.Name, c.Help)
	p.printf(".SH SYNOPSIS\n")
	c.each([]string{name}, func(path []string, c *Command) {
		if len(c.Commands) == 0 {
			p.synopsis(strings.Join(path, " "), c)
		}
	})
	p.printf(".SH DESCRIPTION\n%s\n", text(c.Help))
	c.each([]string{name}, func(path []string, below *Command) {
		if below == c {
			p.options("OPTIONS", c)
			return
		}
		p.printf(".SH %q\n%s\n", strings.ToUpper(strings.TrimPrefix(strings.Join(path, " "), root.Name+" ")), text(below.Help))
		p.options("", below)
	})
	p.end()
	p.printf(".SH SEE ALSO\n.BR %s (1)\n", quoted(root.Name))
}

func (p *page) head(name, help string) {
	p.printf(".TH %s 1 \"\" %q %q\n", strings.ToUpper(quoted(name)), "trackway "+p.version, "Trackway")
	p.printf(".SH NAME\n%s \\- %s\n", quoted(name), text(summary(help)))
}

func (p *page) synopsis(name string, c *Command) {
	p.printf(".B %s\n", quoted(name))
	for _, f := range c.Flags {
		if f.Required {
			p.printf("%s\n", f.roff())
		}
	}
	p.printf("[\\fIFLAG\\fR...]\n")
	for _, a := range c.Args {
		p.printf("%s\n", a.roff())
	}
	p.printf(".br\n")
}

func (p *page) options(title string, c *Command) {
	if len(c.Flags)+len(c.Args) == 0 {
		return
	}
	if title != "" {
		p.printf(".SH %s\n", title)
	}
	for _, a := range c.Args {
		p.printf(".TP\n%s\n%s\n", a.roff(), text(a.Help))
	}
	for _, f := range c.Flags {
		p.printf(".TP\n%s\n%s\n", f.roff(), text(f.Help))
		if len(f.Choices) > 0 {
			p.printf("One of %s.\n", text(strings.Join(f.Choices, ", ")))
		}
		for _, env := range f.Envs {
			p.printf("Variable:\n.BR %s .\n", quoted(env))
		}
	}
}

// end writes what all pages have in common.
func (p *page) end() {
	p.printf(`.SH EXIT STATUS
.TP
.B 0
The command has done what it was asked to do.
.TP
.B 1
The command was refused or has failed. Standard error has the reason.
.TP
.B 2
There is no such command or flag.
`)
}

func (p *page) printf(format string, args ...any) { _, _ = fmt.Fprintf(p, format, args...) }

func (f *Flag) roff() string {
	var b strings.Builder
	if f.Short != 0 {
		fmt.Fprintf(&b, "\\fB\\-%c\\fR, ", f.Short)
	}
	fmt.Fprintf(&b, "\\fB\\-\\-%s\\fR", quoted(f.Name))
	if f.Value != "" {
		fmt.Fprintf(&b, "=\\fI%s\\fR", quoted(f.Value))
	}
	return b.String()
}

func (a *Arg) roff() string {
	s := `\fI` + quoted(a.Name) + `\fR`
	if a.Repeats {
		s += "..."
	}
	if a.Optional {
		s = "[" + s + "]"
	}
	return s
}

// quoted escapes what man(7) would not print as it is.
var quoted = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", "...").Replace

// text is quoted for running text, whose first character must not make it a
// request.
func text(s string) string {
	s = strings.ReplaceAll(quoted(strings.TrimSpace(s)), "\n", " ")
	if strings.HasPrefix(s, ".") {
		return `\&` + s
	}
	return s
}
