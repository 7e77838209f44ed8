package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker (-X main.version=v1.2.3). Other builds use what
// the go command records.
var version string

type versionCommand struct {
	JSON bool `help:"Print the version as JSON." name:"json"`
}

// Run prints "trackway v1.2.3 (commit 0123abcd, go1.26.0, linux/amd64)". It
// leaves out an unknown commit.
func (c versionCommand) Run(out output) error {
	info, _ := debug.ReadBuildInfo()
	name, commit := versionOf(version, info)
	if c.JSON {
		return printIndented(out.stdout, struct {
			Version  string `json:"version"`
			Commit   string `json:"commit,omitempty"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
		}{name, commit, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
	}
	if commit != "" {
		commit = "commit " + commit + ", "
	}
	_, err := fmt.Fprintf(out.stdout, "trackway %s (%s%s, %s/%s)\n", name, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// versionOf returns the version and the commit that a binary was built from.
// info is nil if nothing was recorded.
func versionOf(linked string, info *debug.BuildInfo) (name, commit string) {
	name = linked
	if info == nil {
		return cmp.Or(name, "unreleased"), ""
	}
	if name == "" && info.Main.Version != "(devel)" {
		name = info.Main.Version
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if commit != "" {
		commit += dirty
	}
	return cmp.Or(name, "unreleased"), commit
}
