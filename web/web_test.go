package web

import (
	"testing"
	"testing/fstest"
)

func TestRead(t *testing.T) {
	t.Parallel()
	s, err := Read(fstest.MapFS{
		".keep": {}, "index.html": {Data: []byte("<!doctype html>")}, "other.txt": {},
		"assets/a-1.js": {Data: []byte("script")}, "assets/a-1.js.gz": {Data: []byte("gz")}, "assets/a-1.js.br": {Data: []byte("br")},
		"assets/b-2.css": {Data: []byte("style")}, "assets/b-2.css.gz": {Data: []byte("gz")}, "assets/c.wasm2": {Data: []byte("?")},
	})
	if err != nil || len(s.Assets) != 3 || s.Index == nil {
		t.Fatalf("got %d assets, %v", len(s.Assets), err)
	}
	for _, test := range []struct{ name, accept, coding, body string }{
		{"a-1.js", "gzip, deflate, br", "br", "br"},
		{"a-1.js", "GZIP;q=0.5", "gzip", "gz"},
		{"a-1.js", "gzip;q=0.5, br; q=0", "gzip", "gz"},
		{"a-1.js", "br;q=0.000, gzip;q=0", "", "script"},
		{"a-1.js", "", "", "script"},
		{"a-1.js", "*", "", "script"},
		{"b-2.css", "br, gzip", "gzip", "gz"},
		{"b-2.css", "br", "", "style"},
	} {
		coding, etag, body := s.Assets[test.name].Accepting(test.accept)
		if coding != test.coding || string(body) != test.body || etag != newForm("", []byte(test.body)).etag {
			t.Errorf("%s, %q: got %q %s %q", test.name, test.accept, coding, etag, body)
		}
	}
	for name, want := range map[string]string{"a-1.js": "text/javascript; charset=utf-8", "c.wasm2": "application/octet-stream"} {
		if got := s.Assets[name].Type; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// TestBuilt checks that the content of the binary can be read, whether the
// pages were built or not.
func TestBuilt(t *testing.T) {
	t.Parallel()
	if _, err := Built(); err != nil {
		t.Error(err)
	}
	if s, err := Read(fstest.MapFS{".keep": {}}); s.Index != nil || err != nil {
		t.Errorf("nothing was built: got %v, %v", s, err)
	}
}
