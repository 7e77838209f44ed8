package wording

import (
	"go/scanner"
	"go/token"
	"path"
	"strings"
	"unicode/utf8"
)

// tab is how many columns a tab takes.
const tab = 4

// passage is a text that people read as a unit: a comment, or a paragraph.
type passage struct {
	lines []line
}

// line is one line of a passage.
type line struct {
	number int    // in its file, from 1
	text   string // without the marks of a comment
	width  int    // of the whole line, in columns
	most   int    // most columns that it may have; 0: any number
}

// The greatest widths of lines, in columns.
const (
	commentWidth = 80
	codeWidth    = 120 // of code with a comment after it, which gofmt aligns
	proseWidth   = 100
)

// passagesOf returns the passages of a file. Files of an unknown kind have no
// passages.
func passagesOf(name, src string) []passage {
	switch path.Ext(name) {
	case ".go":
		return goComments(src)
	case ".md":
		return paragraphs(src)
	case ".ts", ".js", ".mjs", ".css":
		return markedLines(src, "//", "/*", "*")
	case ".yml", ".yaml", ".py", ".sh":
		return markedLines(src, "#")
	}
	if path.Base(name) == "Makefile" || strings.HasPrefix(src, "#!") {
		return markedLines(src, "#")
	}
	return nil
}

// goComments returns the comments of Go source. Consecutive comment lines at
// one column are one passage. Directives are left out.
func goComments(src string) []passage {
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(file, []byte(src), nil, scanner.ScanComments)
	var c collector
	rows := strings.Split(src, "\n")
	code, column := 0, 0 // the last line with code; where the last comment began
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return c.done()
		}
		at := file.Position(pos)
		if tok != token.COMMENT {
			if text != "\n" { // the semicolon that the end of a line means
				code = file.Position(pos + token.Pos(len(text))).Line
			}
			continue
		}
		most := commentWidth
		if code == at.Line {
			most = codeWidth
		}
		if at.Column != column {
			c.end()
		}
		column = at.Column
		for i, part := range strings.Split(text, "\n") {
			if !directive(part) {
				c.add(at.Line+i, rows[at.Line+i-1], part, most)
			}
		}
	}
}

// directive reports whether a comment is for a tool.
func directive(comment string) bool {
	text, ok := strings.CutPrefix(comment, "//")
	return ok && text != "" && text[0] >= 'a' && text[0] <= 'z' && strings.Contains(text, ":")
}

// markedLines returns the comments whose lines begin with one of marks.
func markedLines(src string, marks ...string) []passage {
	var c collector
	for i, row := range strings.Split(src, "\n") {
		text := strings.TrimSpace(row)
		for _, mark := range marks {
			if strings.HasPrefix(text, mark) && !strings.HasPrefix(text, "#!") {
				c.add(i+1, row, text, commentWidth)
				break
			}
		}
	}
	return c.done()
}

// paragraphs returns the prose of Markdown, without code. Rows of tables may
// have any width, and each cell is a passage.
func paragraphs(src string) []passage {
	var c collector
	fenced := false
	for i, row := range strings.Split(src, "\n") {
		text := strings.TrimSpace(row)
		switch {
		case strings.HasPrefix(text, "```"):
			fenced = !fenced
			c.end()
		case fenced, text == "", strings.HasPrefix(row, "    ") && len(c.open.lines) == 0:
			c.end()
		case strings.HasPrefix(text, "|"):
			c.end()
			for cell := range strings.SplitSeq(text, "|") {
				c.add(i+1, row, cell, 0)
				c.end()
			}
		default:
			if strings.HasPrefix(text, "#") || strings.HasPrefix(text, "- ") {
				c.end()
			}
			c.add(i+1, row, text, proseWidth)
		}
	}
	return c.done()
}

// collector puts lines that follow each other together.
type collector struct {
	all  []passage
	open passage
}

func (c *collector) add(number int, row, text string, most int) {
	if n := len(c.open.lines); n > 0 && c.open.lines[n-1].number+1 < number {
		c.end()
	}
	text = strings.TrimRight(strings.TrimLeft(text, "/*#"), "/* \t\r")
	if text == "" {
		c.end()
		return
	}
	if unbroken(text) {
		most = 0
	}
	c.open.lines = append(c.open.lines, line{number: number, text: strings.TrimSpace(text), width: columns(row), most: most})
}

// unbroken reports whether a line must stay as it is: it has no space to break
// it at, or it is preformatted, as a table or an example in a comment is.
func unbroken(text string) bool {
	return strings.HasPrefix(text, "\t") || strings.HasPrefix(text, "    ") || !strings.Contains(strings.TrimSpace(text), " ")
}

func (c *collector) end() {
	if len(c.open.lines) > 0 {
		c.all = append(c.all, c.open)
	}
	c.open = passage{}
}

func (c *collector) done() []passage {
	c.end()
	return c.all
}

func columns(row string) int {
	return utf8.RuneCountInString(strings.ReplaceAll(strings.TrimRight(row, " \t\r"), "\t", strings.Repeat(" ", tab)))
}
