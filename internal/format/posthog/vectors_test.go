package posthog

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the vectors become")

// vectors holds what one SDK sent, byte for byte, and the commands that it
// becomes.
type vectors struct {
	Client   string `json:"client"`
	Requests []sent `json:"requests"`
}

type sent struct {
	Path     string            `json:"path"`
	Headers  map[string]string `json:"headers"`
	Gzip     bool              `json:"gzip,omitempty"`
	Body     string            `json:"body"` // inflated
	Commands []string          `json:"commands"`
}

// TestVectors decodes what real SDKs sent. Their key is public-key.
func TestVectors(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../openapi/vectors/posthog/*.json")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v vectors
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		for i := range v.Requests {
			r := &v.Requests[i]
			if token := Token([]byte(r.Body)); token != "public-key" {
				t.Errorf("%s, request %d: got the key %q", v.Client, i, token)
			}
			b, refused := Decode(shop, []byte(r.Body), received)
			if refused != nil {
				t.Fatal(v.Client, i, refused)
			}
			got := strings.Split(strings.TrimSuffix(shown(b), "\n"), "\n")
			if *update {
				r.Commands = got
			}
			if diff := cmp.Diff(r.Commands, got); diff != "" {
				t.Errorf("%s, request %d (-want +got):\n%s", v.Client, i, diff)
			}
		}
		if *update {
			write(t, file, &v)
		}
	}
}

func write(t *testing.T, file string, v *vectors) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	e := json.NewEncoder(f)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
