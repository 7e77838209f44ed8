package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file chooses its own name and those of its columns. Terminals obey neither.
func TestImportQuotesNames(t *testing.T) {
	t.Parallel()
	config := configure(t, "", "secret: s3cret")
	data := filepath.Join(t.TempDir(), "data")
	const evil = "\x1b]0;owned\x07"
	path := filepath.Join(t.TempDir(), "a"+evil+".csv")
	write(t, path, "customer_ids.registered,"+evil+"\nu1,x\nu2\n")
	for _, args := range [][]string{{}, {"--map", "customer_ids.registered=x"}, {"--map", "customer_ids.registered=" + evil, "--string", "x"}} {
		var out, errs strings.Builder
		run(append([]string{"import", "--config", config, "--data", data, path}, args...), strings.NewReader(""), &out, &errs)
		text := out.String() + errs.String()
		if strings.ContainsAny(text, "\x1b\x07") || !strings.Contains(text, `\x1b]0;owned\a`) {
			t.Errorf("%q: got %q", args, text)
		}
	}
}

// A command that refuses before it begins leaves nothing behind.
func TestImportLeavesNothing(t *testing.T) {
	t.Parallel()
	config := configure(t, "", "secret: s3cret")
	data := filepath.Join(t.TempDir(), "data")
	file := filepath.Join(t.TempDir(), "a.csv")
	write(t, file, "id,email\n")
	utf16 := filepath.Join(t.TempDir(), "b.csv")
	write(t, utf16, "\xff\xfei\x00")
	for want, args := range map[string][]string{
		"absent.csv": {"absent.csv"}, "given twice": {file, "--map", "properties.a=id", "--map", "properties.a=email"},
		"expected TARGET=COLUMN": {file, "--map", "id"}, "the delimiter cannot be": {file, "--delimiter", `"`},
		"whose row": {file}, "UTF-16": {file, utf16, "--map", "customer_ids.registered=id"},
	} {
		_, stderr := runs(t, failed, append([]string{"import", "--config", config, "--data", data}, args...)...)
		contains(t, want, stderr, want)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("it made %s: %v", data, err)
	}
}
