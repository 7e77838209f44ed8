package edit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Whichever way a person wrote the keys, and whatever notes stand between them, a change finds its place, and each note on a line of
// its own stays in its order. (That nothing but the key is changed, File itself sees to.)
func TestAnyForm(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	rapid.Check(t, func(t *rapid.T) {
		src := anyFile(t)
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatalf("%v in\n%s", err, src)
		}
		notes := comments(strings.Split(src, "\n"))
		for i := range rapid.IntRange(1, 4).Draw(t, "changes") {
			command := anyChange(t, f, i)
			err := do(f, command)
			if key, rotate := strings.CutPrefix(command, "turn "); rotate {
				_, err = f.Rotate("", key, fmt.Sprintf("SECRET%d", i), noon) // another each time
			}
			if err != nil {
				t.Fatalf("%s: %v\n%s", command, err, f.text)
			}
			if diff := cmp.Diff(notes, comments(strings.Split(string(f.text), "\n"))); diff != "" {
				t.Fatalf("%s: notes (-before +after):\n%s\n%s", command, diff, f.text)
			}
		}
	})
}

// anyChange is a change of one of the keys, or a new one.
func anyChange(t *rapid.T, f *File, i int) string {
	commands := []string{fmt.Sprintf("add public new%d", i), fmt.Sprintf("add private more%d gdpr", i)}
	for _, k := range f.Config().Projects[0].Keys {
		commands = append(commands, "revoke "+k.Name, "turn "+k.Name)
	}
	return rapid.SampledFrom(commands).Draw(t, "change")
}

// anyFile is a configuration with one project and some keys, in any of the usual forms.
func anyFile(t *rapid.T) string {
	var b strings.Builder
	note := func(indent string) {
		if rapid.Bool().Draw(t, "note") {
			fmt.Fprintf(&b, "%s# note %d: {é}, [\"\n", indent, b.Len())
		}
	}
	tail := func() string { return rapid.SampledFrom([]string{"", " # why", "   "}).Draw(t, "tail") }
	note("")
	b.WriteString("projects:\n  - name: demo\n    token: 12345678-1234-1234-1234-123456789abc\n")
	n := rapid.IntRange(0, 4).Draw(t, "keys")
	switch {
	case n == 0:
		b.WriteString(rapid.SampledFrom([]string{"", "    keys: []\n", "    keys: [ ] # none\n"}).Draw(t, "empty"))
	case rapid.Bool().Draw(t, "in brackets"):
		between := rapid.SampledFrom([]string{", ", ",", ",\n      "}).Draw(t, "between")
		fmt.Fprintf(&b, "    keys: [%s]%s\n", strings.Join(anyKeys(t, n), between), tail())
	default:
		b.WriteString("    keys:" + tail() + "\n")
		for _, key := range anyKeys(t, n) {
			note("      ")
			b.WriteString("      - " + asLines(t, key, tail))
		}
	}
	note("    ")
	b.WriteString("    personal: [é, email]" + tail() + "\n")
	note("")
	return b.String() + "limits: []\n"
}

// anyKeys are keys in braces.
func anyKeys(t *rapid.T, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(rapid.SampledFrom([]string{
			"{name: k%[1]d, kind: public, token: token%[1]d}",
			"{name: k%[1]d, kind: private, id: id%[1]d, secret: 'it''s {%[1]d}, #1'}",
			"{name: k%[1]d, kind: private, secret: \"a\\\"b, %[1]d\", id: \"id%[1]d\", permissions: [gdpr, \"events:get:é, #\"]}",
			"{token: t%[1]d, previous_token: old%[1]d, previous_until: 2026-11-22, name: k%[1]d, kind: public}",
		}).Draw(t, "key"), i)
	}
	return keys
}

// asLines is a key as it is, or with a member on each line.
func asLines(t *rapid.T, key string, tail func() string) string {
	if rapid.Bool().Draw(t, "in braces") {
		return key + tail() + "\n"
	}
	var b strings.Builder
	members := strings.TrimSuffix(strings.TrimPrefix(key, "{"), "}")
	for _, name := range []string{", kind:", ", token:", ", id:", ", secret:", ", permissions:", ", previous_token:", ", previous_until:", ", name:"} {
		members = strings.ReplaceAll(members, name, "\x00"+name[2:])
	}
	for i, member := range strings.Split(members, "\x00") {
		if i > 0 {
			b.WriteString("        ")
		}
		b.WriteString(member + tail() + "\n")
	}
	return b.String()
}
