package segment

import (
	"encoding/json"
	"flag"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/format"
)

var update = flag.Bool("update", false, "write what the vectors become")

// vectors is what one SDK sent, byte for byte, and what it becomes.
type vectors struct {
	Client   string    `json:"client"`
	Requests []request `json:"requests"`
}

type request struct {
	Path     string            `json:"path"`
	Headers  map[string]string `json:"headers"`
	Gzip     bool              `json:"gzip,omitempty"`
	Body     string            `json:"body"` // inflated
	Commands []string          `json:"commands"`
}

func formatOf(name string) *format.Format {
	if name == "batch" {
		return Batch
	}
	return Single(name)
}

// TestVectors decodes what real SDKs sent. The key of all of them is WRITEKEY.
func TestVectors(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../openapi/vectors/segment/*.json")
	if err != nil || len(files) < 6 {
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
			got := allSeen(decode(t, formatOf(path.Base(r.Path)), r.Body))
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
