package alarm

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trackway"
	"trackway/internal/catalogue"
	"trackway/internal/config/alarming"
	"trackway/internal/query"
)

// apart is counts of projects. One of them may be on a server that does not
// answer.
type apart struct {
	away uint32
	read map[uint32]int
}

func (a *apart) Snapshot() query.Snapshot { return apartSnapshot{nil, a} }

type apartSnapshot struct {
	query.Snapshot

	*apart
}

func (apartSnapshot) Close() error { return nil }

func (a apartSnapshot) Counts(project uint32, _ query.CountRange, _ func(query.Count) bool) error {
	a.read[project]++
	if project == a.away {
		return errors.New("nobody answers")
	}
	return nil
}

// TestTypesApart: the server that leads a project's partition tells about its
// types, because the one that leads the cluster may not know them.
func TestTypesApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.UsualOf(alarming.NewType), alarming.UsualOf(alarming.Refusals))
		s.leads, s.leadsOf = false, 1
		s.sample.Projects = []Project{{Name: "shop", Commands: 1000, New: []catalogue.Beginning{{Type: "buy", First: time.Now()}}}}
		s.start()
		pass(time.Minute)
		s.set(func() {
			s.sample.Projects = []Project{{Name: "shop", Commands: 2000, Refused: 1000, New: s.sample.Projects[0].New}}
		})
		pass(time.Hour)
		s.want("it leads the project's partition only", "ringing New type: shop")
		s.set(func() { s.leadsOf = 2; s.sample.Projects = []Project{{Name: "shop"}} })
		pass(time.Hour)
		s.want("another one does")
		s.stop()
	})
}

// TestJudgedApart: if the counts of one project cannot be read, silence of the
// others is judged all the same, once. That project is judged when it can be.
func TestJudgedApart(t *testing.T) {
	t.Parallel()
	book, err := Open(filepath.Join(t.TempDir(), File), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	counts := &apart{away: 2, read: map[uint32]int{}}
	w := New(Deps{Book: book, Counts: counts, Log: slog.New(slog.DiscardHandler)}, Setup{
		Alarms:   alarming.Alarms{Rules: []alarming.Rule{{Kind: alarming.Silence, Weeks: 4}}},
		Projects: []trackway.Project{{Name: "shop", Number: 1}, {Name: "app", Number: 2}, {Name: "blog", Number: 3}},
	})
	now := time.Date(2026, 3, 2, 12, 10, 0, 0, time.UTC)
	for i, step := range []struct {
		away   uint32
		judged []string
		read   int // of the second project, so far
	}{
		{2, []string{"shop", "blog"}, 1},
		{2, nil, 2},
		{0, []string{"app"}, 3},
	} {
		counts.away = step.away
		_, judged, hour, err := w.judgeCounts(now, w.setup.Load())
		if !slices.Equal(judged, step.judged) || (err != nil) != (step.away != 0) || counts.read[2] != step.read || counts.read[1] != 1 {
			t.Errorf("step %d: judged %q, %v, after reading %v", i, judged, err, counts.read)
		}
		if whole := hour == query.HourOf(trackway.MicrosOf(now))-1; whole != (step.away == 0) {
			t.Errorf("step %d: hour %d is judged", i, hour)
		}
	}
}
