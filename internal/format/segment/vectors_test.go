package segment

import (
	"encoding/json"
	"flag"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/format"
)

var update = flag.Bool("update", false, "write what the vectors become")

// vectors holds what one SDK sent, byte for byte, and the commands that it
// becomes.
type vectors struct {
	Client   string    `json:"client"`
	Received time.Time `json:"received,omitzero"` // when; absent: at the time of all tests
	Requests []request `json:"requests"`
}

type request struct {
	Path     string            `json:"path"`
	Headers  map[string]string `json:"headers"`
	Gzip     bool              `json:"gzip,omitempty"`
	Body     string            `json:"body"` // inflated
	Commands []string          `json:"commands"`
}

// shortNames are the messages of paths such as /v1/t.
var shortNames = map[string]string{"t": Track, "i": Identify, "p": Page, "g": Group, "a": Alias}

func formatOf(name string) *format.Format {
	switch name {
	case "batch", "b":
		return Batch
	case "import":
		return Import
	}
	if long, ok := shortNames[name]; ok {
		name = long
	}
	return Single(name)
}

// TestVectors decodes what real SDKs sent. The key of all of them is WRITEKEY.
func TestVectors(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../openapi/vectors/segment/*.json")
	if err != nil || len(files) < 11 {
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
		at := received
		if !v.Received.IsZero() {
			at = trackway.Micros(v.Received.UnixMicro())
		}
		for i := range v.Requests {
			r := &v.Requests[i]
			b, err := formatOf(path.Base(r.Path)).Decode(shop, []byte(r.Body), at)
			if err != nil {
				t.Errorf("%s, request %d: %s", v.Client, i, Text(err))
				continue
			}
			got := allSeen(b)
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
