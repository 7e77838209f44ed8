package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/datadir"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/destination/mirror"
	"trackway/internal/scale"
	"trackway/internal/store"
)

// otherSide is the configuration of the server that is the mirror of a
// [destinationtest.World].
const otherSide = `
server: {name: ` + serverName + `, region: test}
projects:
  - name: demo
    token: 11111111-1111-4111-8111-111111111111
    identifiers: {hard: [registered], soft: [cookie, number]}
    personal: [email, name]
    keys: [{name: mirror, kind: private, id: "` + privateID + `", secret: "` + secretKey + `"}]
  - name: shop
    token: 22222222-2222-4222-8222-222222222222
    identifiers: {hard: [registered], soft: [cookie, number]}
    personal: [email, name]
    keys: [{name: mirror, kind: private, id: "` + privateID + `-2", secret: "` + secretKey + `"}]
` + wideLimits

// TestMirror mirrors a random store into another server, over a bad connection.
// Customers merge and are erased while batches are on their way, and
// identifiers move between those that the other side knows. Both sides are
// restarted. In the end, the customers with identifiers are equal, with all
// that they did.
func TestMirror(t *testing.T) {
	t.Parallel()
	for seed := range uint64(scale.Of(4, 1)) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			testMirror(t, seed)
		})
	}
}

func testMirror(t *testing.T, seed uint64) {
	t.Helper()
	w := destinationtest.NewWorld(t, seed)
	there, files := t.TempDir(), t.TempDir()
	other := startIn(t, there, otherSide)
	d := config.Destination{Name: "old", Kind: "mirror", Start: "beginning", Bytes: 1 << 16, Every: 1, Allow: []string{"127.0.0.1"}, User: privateID, Password: secretKey, Identifier: "number"}
	for round := range 4 {
		chaos := other.newChaos(t, rand.New(rand.NewPCG(seed, uint64(round))))
		// Each project has a key of its own, so each has a destination.
		both := make([]config.Destination, len(w.Projects))
		for i, p := range w.Projects {
			both[i] = d
			both[i].Name, both[i].Projects, both[i].URL, both[i].Rows = p.Name, []string{p.Name}, chaos.url, 1+w.Random.IntN(100)
			if i > 0 {
				both[i].User = privateID + "-2"
			}
		}
		m := manage(t, w, files, both)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		for i := range 4 {
			act(t, w, round*4+i, w.Random.IntN(150))
			if w.Random.IntN(3) == 0 {
				w.Erase()
			}
		}
		if round == 3 {
			chaos.end()
			destinationtest.CatchUp(t, w, m)
			move(t, w)
			destinationtest.CatchUp(t, w, m)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, p := range w.Projects {
			if rejects, err := m.Rejects(p.Name); err != nil || slices.ContainsFunc(rejects, func(r destination.Reject) bool { return !strings.Contains(r.Reason, "no identifier") }) {
				t.Errorf("rejects: %v, %v", rejects, err)
			}
		}
		if other.kill(t); round < 3 {
			other = startIn(t, there, otherSide)
		}
	}

	s, err := store.Open(filepath.Join(there, "data", datadir.Store), store.Options{Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // it was only read
	theirs := slices.Clone(w.Projects)
	for i := range theirs {
		theirs[i].Number, theirs[i].Soft = 0, []string{"cookie", "number"}
	}
	if err := s.Register(theirs); err != nil {
		t.Fatal(err)
	}
	for i, p := range w.Projects {
		want, got := mirrored(t, w.Store, p.Number), mirrored(t, s, theirs[i].Number)
		if diff := gocmp.Diff(want, got); diff != "" || len(want) < 5 {
			t.Errorf("%s: %d customers (-ours +theirs):\n%s", p.Name, len(want), diff)
		}
	}
}

const people = 12

// act sends commands about people who have two devices each. They are anonymous
// at first, and sign in later.
func act(t *testing.T, w *destinationtest.World, step, commands int) {
	t.Helper()
	for i := range commands {
		person := w.Random.IntN(people)
		cookie := trackway.Identifier{Name: "cookie", Value: fmt.Sprint("c", person+people*w.Random.IntN(2))}
		registered := trackway.Identifier{Name: "registered", Value: fmt.Sprint("r", person), Hard: true}
		ids := [][]trackway.Identifier{{cookie}, {registered}, {registered, cookie}}[w.Random.IntN(3)]
		apply(t, w, step*1000+i, ids)
	}
}

// move makes each person use a device of another one.
func move(t *testing.T, w *destinationtest.World) {
	t.Helper()
	for person := range people {
		apply(t, w, 1_000_000+person, []trackway.Identifier{
			{Name: "registered", Value: fmt.Sprint("r", (person+1)%people), Hard: true}, {Name: "cookie", Value: fmt.Sprint("c", person)},
		})
	}
}

// apply sends an event or an update.
func apply(t *testing.T, w *destinationtest.World, second int, ids []trackway.Identifier) {
	t.Helper()
	at := trackway.Micros(1_700_000_000+second) * 1_000_000
	properties := []trackway.Property{{Name: "email", Value: []byte(`"jane"`)}, {Name: "n", Value: fmt.Append(nil, w.Random.IntN(5))}}
	c := trackway.Command{
		Kind: trackway.AddEvent, Project: w.Projects[w.Random.IntN(len(w.Projects))].Number, IDs: ids, Type: "visit",
		Time: at - trackway.Micros(w.Random.IntN(1e9)), TimeGiven: true, Received: at, Properties: properties, Bytes: 100,
	}
	if w.Random.IntN(3) == 0 {
		c.Kind, c.Type = trackway.UpdateCustomer, ""
	}
	if err := w.Store.Apply([]trackway.Command{c}, make([]trackway.Result, 1)); err != nil {
		t.Fatal(err)
	}
}

// manage returns a manager of mirrors that makes no pauses.
func manage(t *testing.T, w *destinationtest.World, dir string, all []config.Destination) *destination.Manager {
	t.Helper()
	m, err := destination.New(destination.Options{
		Dir: dir, Store: w.Store, Log: slog.New(slog.DiscardHandler), Jitter: func(time.Duration) time.Duration { return time.Millisecond },
		Open: func(d config.Destination) (destination.Sink, error) {
			return mirror.New(d, func() []trackway.Project { return w.Projects })
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	apply, _, err := m.Reload(all, w.Projects)
	if err != nil {
		t.Fatal(err)
	}
	apply()
	return m
}

// mirrored returns each customer that has identifiers, with all that a mirror
// should have: identifiers, properties and events. Customers without
// identifiers must have nothing personal.
func mirrored(t *testing.T, s *store.Store, project uint32) []string {
	t.Helper()
	v := s.Snapshot()
	defer v.Close() // it was only read
	var all []string
	var customers []*trackway.Profile
	if err := v.Profiles(project, func(p *trackway.Profile) bool {
		if p != nil {
			customers = append(customers, p)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	for _, p := range customers {
		ids := slices.DeleteFunc(p.IDs, func(id trackway.Identifier) bool { return id.Name == "number" })
		slices.SortFunc(ids, func(a, b trackway.Identifier) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
		})
		var text strings.Builder
		for _, id := range ids {
			fmt.Fprintf(&text, "%s=%s ", id.Name, id.Value)
		}
		for _, property := range p.Properties {
			fmt.Fprintf(&text, "%s:%s ", property.Name, property.Value)
		}
		var events []string
		if err := v.Events(project, p.Customer, false, func(e *trackway.Event) bool {
			if e.Type != trackway.MergeType {
				events = append(events, fmt.Sprintf("\n%d %s %s", e.Time, e.Type, e.Properties))
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(events)
		for _, e := range events {
			text.WriteString(e)
		}
		if len(ids) > 0 {
			all = append(all, text.String())
			continue
		}
		for _, e := range append(events, propertiesOf(t, p)) {
			if _, object, _ := strings.Cut(e, "{"); strings.Contains(object, `"email":`) || strings.Contains(object, `"name":`) {
				t.Errorf("a customer without identifiers has %s", e)
			}
		}
	}
	slices.Sort(all)
	return all
}

func propertiesOf(t *testing.T, p *trackway.Profile) string {
	t.Helper()
	all := map[string]json.RawMessage{}
	for _, property := range p.Properties {
		all[property.Name] = property.Value
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
