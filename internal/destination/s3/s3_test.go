package s3

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"trackway/internal/config"
	"trackway/internal/destination/object"
)

func TestBucket(t *testing.T) {
	t.Parallel()
	b, err := newBucket(settings(server(t), "test bucket/ü"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, _, err := b.Get(ctx, "a/x.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get what is not there: got %v", err)
	}
	if _, err := b.Replace(ctx, "a/x.json", "00", []byte("0")); !errors.Is(err, object.ErrChanged) {
		t.Errorf("replace what is not there: got %v", err)
	}
	first, err := b.Create(ctx, "a/x.json", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(ctx, "a/x.json", []byte("2")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create what is there: got %v", err)
	}
	second, err := b.Replace(ctx, "a/x.json", first, []byte("3"))
	if err != nil || second == first {
		t.Errorf("replace: got %v, tags %q and %q", err, first, second)
	}
	if _, err := b.Replace(ctx, "a/x.json", first, []byte("4")); !errors.Is(err, object.ErrChanged) {
		t.Errorf("replace what has changed: got %v", err)
	}
	data, tag, err := b.Get(ctx, "a/x.json")
	if err != nil || string(data) != "3" || tag != second {
		t.Errorf("get: got %q, %q, %v", data, tag, err)
	}
	for _, name := range []string{"a/y", "ab/z", "a/b/c"} {
		if _, err := b.Create(ctx, name, nil); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	if err := b.List(ctx, "a/", func(name string) bool { names = append(names, name); return true }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a/b/c", "a/x.json", "a/y"}; !slices.Equal(names, want) {
		t.Errorf("list: got %q, want %q", names, want)
	}
	for range 2 {
		if err := b.Delete(ctx, "a/y"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	const secret = "hunter2secret"
	good := config.Destination{URL: "https://key:" + secret + "@s3.example.com", Bucket: "lake"}
	if _, err := New(good, ""); err != nil {
		t.Errorf("got %v", err)
	}
	for want, change := range map[string]func(d *config.Destination){
		"bucket":            func(d *config.Destination) { d.Bucket = "" },
		"is not a URL":      func(d *config.Destination) { d.URL = "https://key:" + secret + "@s3.example.com:port" },
		"endpoint":          func(d *config.Destination) { d.URL = "key:" + secret + "@s3.example.com" },
		"path":              func(d *config.Destination) { d.URL += "/lake" },
		"access key":        func(d *config.Destination) { d.URL = "https://s3.example.com" },
		"ndjson or parquet": func(d *config.Destination) { d.Format = "csv" },
	} {
		d := good
		change(&d)
		if _, err := New(d, ""); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want an error with %q and without the secret", err, want)
		}
	}
}

func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	address := server(t)
	for name, change := range map[string]func(d *config.Destination){
		"secret": func(d *config.Destination) { d.Password = "hunter2secret" },
		"user":   func(d *config.Destination) { d.User = "nobody" },
	} {
		d := settings(address, "credentials")
		change(&d)
		s, err := New(d, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Prepare(t.Context())
		if err == nil || !strings.Contains(err.Error(), "refuses the access key") || strings.Contains(err.Error(), secretKey) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
