package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/destination/kafka/kafkatest"
	"trackway/internal/destination/object/objecttest"
	"trackway/internal/destination/postgres/postgrestest"
	"trackway/internal/prereq"
	"trackway/internal/sleep"
)

var destinationRounds = flag.Int("destination-rounds", 3, "how many `rounds` TestDestinations makes; the full size is 100")

// partner is a system that a destination writes into.
type partner struct {
	name     string
	config   string          // the destination's section
	verified bool            // `destinations verify` can read it
	kill     func()          // with signal 9; nil: it is no process
	run      func()          // after kill
	count    func() []copied // reads it with its own tools
}

// copied is an event as a partner has it.
type copied struct {
	Seq        uint64
	Type       string
	Properties struct{ Name string }
}

// TestDestinations kills the server or a partner at random moments, while
// clients send events, merges and erasures. In the end, each destination has
// each event exactly once: `destinations verify` says so, and what the partner
// itself says agrees with an export.
//
// The flag -destination-rounds sets the number of rounds, and -seed their
// course. Partners that are not installed are left out; a folder is always
// there.
func TestDestinations(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts databases")
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	for name, open := range map[string]func(*testing.T, string) *partner{
		"file": toFile, "parquet": toParquet, "postgres": toPostgres, "kafka": toKafka,
	} {
		t.Run(name, func(t *testing.T) { killDestination(t, open, seed) })
	}
}

func killDestination(t *testing.T, open func(*testing.T, string) *partner, seed uint64) {
	t.Helper()
	dir := t.TempDir()
	p := open(t, dir)
	config := baseConfig + wideLimits + "destinations:\n  - {name: copy, " + p.config + ", batch: {rows: 300, every: 50ms}}\n"
	r := &rounds{random: rand.New(rand.NewPCG(seed, 0))}
	var s *server
	for range *destinationRounds {
		s = startIn(t, dir, config)
		s.log.private("person-", "visitor-", "@example.com")
		after := time.Duration(r.random.IntN(500)) * time.Millisecond
		if p.kill == nil || r.random.IntN(2) == 0 {
			r.send(t, s) // which kills the server
			continue
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			r.send(t, s)
		}()
		_ = sleep.For(t.Context(), after) // any moment will do
		p.kill()
		p.run()
		<-sent
	}
	s = startIn(t, dir, config)
	s.log.private("person-", "visitor-", "@example.com")
	if missing := r.missing(t, s); len(missing) > 0 {
		t.Fatalf("%d acknowledged are missing in the server, such as %q", len(missing), missing[:min(5, len(missing))])
	}
	awaitCopy(t, s)
	if p.verified {
		t.Log(s.run(t, 0, "destinations", "verify", "copy", "--quiet"))
	}
	want, count := exportedEvents(t, s)
	seqs, got := make(map[uint64]int), make(map[string]int)
	events := p.count()
	for _, e := range events {
		seqs[e.Seq]++
		got[e.Type+" "+e.Properties.Name]++
	}
	if len(events) != count || len(seqs) != count || !maps.Equal(got, want) {
		t.Errorf("%s has %d events with %d numbers, want %d of each", p.name, len(events), len(seqs), count)
	}
	t.Logf("%s: %d events after %d rounds", p.name, count, *destinationRounds)
}

// awaitCopy waits until the destination has everything.
func awaitCopy(t *testing.T, s *server) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		cmd, errs := tool(t, s, "destinations", "list", "--json"), &bytes.Buffer{}
		cmd.Stderr = errs
		text, err := cmd.Output()
		leaderChanges := strings.Contains(errs.String(), "try again in a moment")
		if err != nil && leaderChanges && time.Now().Before(deadline) {
			_ = sleep.For(t.Context(), lookAgain)
			continue
		} else if err != nil {
			t.Fatalf("%v: %s%s", err, text, errs)
		}
		var list struct {
			Destinations []struct {
				State string
				Lag   uint64 `json:"lag_events"`
				Error string
			}
		}
		if err := json.Unmarshal(text, &list); err != nil || len(list.Destinations) != 1 {
			t.Fatalf("%v: %s", err, text)
		}
		switch d := list.Destinations[0]; {
		case d.State == "running" && d.Lag == 0 && d.Error == "":
			return
		case d.State == "stopped", time.Now().After(deadline):
			t.Fatalf("the destination is %s, %d events behind: %s", d.State, d.Lag, d.Error)
		}
		_ = sleep.For(t.Context(), lookAgain) // the deadline ends it
	}
}

// exportedEvents returns how often the server has each event, by type and name,
// and how many events there are.
func exportedEvents(t *testing.T, s *server, args ...string) (byName map[string]int, count int) {
	t.Helper()
	byName = make(map[string]int)
	for line := range strings.Lines(s.run(t, 0, append([]string{"export", "--events"}, args...)...)) {
		var row struct {
			Data struct {
				Type       string `json:"event_type"`
				Properties struct{ Name string }
			}
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		if row.Data.Type != "" {
			byName[row.Data.Type+" "+row.Data.Properties.Name]++
			count++
		}
	}
	return byName, count
}

func toFile(t *testing.T, dir string) *partner {
	t.Helper()
	folder := filepath.Join(dir, "out")
	return &partner{
		name: "the folder", config: "kind: file, path: " + folder, verified: true,
		count: func() []copied {
			names, err := filepath.Glob(filepath.Join(folder, "events", "*", "*.ndjson"))
			// of one of several partitions
			of, wrong := filepath.Glob(filepath.Join(folder, "p*", "events", "*", "*.ndjson"))
			if names = append(names, of...); err != nil || wrong != nil || len(names) == 0 {
				t.Fatalf("the folder has no events: %v", err)
			}
			var all []copied
			for _, name := range names {
				all = append(all, eventsIn(t, name)...)
			}
			return all
		},
	}
}

// toParquet writes Parquet, as s3 does, and reads it with DuckDB.
func toParquet(t *testing.T, dir string) *partner {
	t.Helper()
	objecttest.Program(t, "python3", prereq.DuckDB) // or skip
	folder := filepath.Join(dir, "out")
	return &partner{
		name: "the folder of Parquet", config: "kind: file, format: parquet, path: " + folder, verified: true,
		count: func() (all []copied) {
			query := "SELECT seq, type, properties->>'name' FROM read_parquet('" + folder + "/events/*/*.parquet')"
			for _, row := range objecttest.Query(t, query) {
				seq, err := strconv.ParseUint(row[0].(json.Number).String(), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				e := copied{Seq: seq, Type: row[1].(string)}
				e.Properties.Name, _ = row[2].(string) // an erasure may have removed it
				all = append(all, e)
			}
			return all
		},
	}
}

func eventsIn(t *testing.T, name string) (all []copied) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e copied
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func toPostgres(t *testing.T, dir string) *partner {
	t.Helper()
	server := postgrestest.Start(t)
	database := server.Database(t)
	secret := filepath.Join(dir, "url")
	if err := os.WriteFile(secret, []byte(database.URL()), 0o600); err != nil {
		t.Fatal(err)
	}
	return &partner{
		name: "PostgreSQL", config: "kind: postgres, url_file: " + secret, verified: true,
		kill: server.Kill,
		run: func() {
			if err := server.Run(); err != nil {
				t.Fatal(err)
			}
		},
		count: func() (all []copied) {
			for _, row := range database.SQL(t, "SELECT json_build_object('seq', seq, 'type', type, 'properties', properties) FROM events") {
				var e copied
				if err := json.Unmarshal([]byte(row[0]), &e); err != nil {
					t.Fatal(err)
				}
				all = append(all, e)
			}
			return all
		},
	}
}

func toKafka(t *testing.T, _ string) *partner {
	t.Helper()
	b := kafkatest.Start(t)
	return &partner{
		name: "Kafka", config: "kind: kafka, url: " + fmt.Sprintf("%q", b.URL()) + ", prefix: t.",
		kill: b.Kill, run: func() { b.Run(t) },
		count: func() []copied { return consumed(t, b, "t.events") },
	}
}

// consumed returns the committed events of a topic.
func consumed(t *testing.T, b *kafkatest.Broker, topic string) (all []copied) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(b.URL(), "kafka://")), kgo.ConsumeTopics(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var open []int32
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			open = append(open, end.Partition)
		}
	})
	for len(open) > 0 {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			// A record of an aborted transaction may have been the last.
			if end, _ := ends.Lookup(topic, r.Partition); r.Offset+1 >= end.Offset {
				open = slices.DeleteFunc(open, func(p int32) bool { return p == r.Partition })
			}
			if r.Attrs.IsControl() {
				continue
			}
			var e copied
			if err := json.Unmarshal(r.Value, &e); err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
	}
	return all
}
