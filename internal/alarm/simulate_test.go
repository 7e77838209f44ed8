package alarm

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config/alarming"
)

// Each row takes events away from eight recorded weeks, or adds a type, and
// says when alarms would have rung and ended.
func TestSimulate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 11, 20, 0, 0, time.UTC)
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, time.UTC) }
	between := func(from, to time.Time) func(time.Time) bool {
		return func(at time.Time) bool { return !at.Before(from) && at.Before(to) }
	}
	never := func(time.Time) bool { return false }
	for name, c := range map[string]struct {
		without map[string]func(time.Time) bool // by type
		ask     Question
		gaps    []Gap
		want    []string
	}{
		"as usual":           {map[string]func(time.Time) bool{"view": never, "buy": never}, Question{}, nil, nil},
		"a type, once":       {map[string]func(time.Time) bool{"view": never, "buy": between(at(20, 8), at(20, 11))}, Question{}, nil, []string{"shop / buy 20 09-20 12"}},
		"a type, twice":      {map[string]func(time.Time) bool{"view": never, "buy": func(x time.Time) bool { return x.Equal(at(20, 8)) || x.Equal(at(21, 8)) }}, Question{}, nil, []string{"shop / buy 20 09-20 10", "shop / buy 21 09-21 10"}},
		"everything":         {map[string]func(time.Time) bool{"view": between(at(20, 8), at(20, 9)), "buy": between(at(20, 8), at(20, 9))}, Question{}, nil, []string{"shop 20 09-20 10"}},
		"it lasts":           {map[string]func(time.Time) bool{"view": never, "buy": between(at(25, 3), at(30, 0))}, Question{}, nil, []string{"shop / buy 25 04-"}},
		"before these weeks": {map[string]func(time.Time) bool{"view": never, "buy": between(at(20, 8), at(20, 11))}, Question{Weeks: 1, Against: 1, Least: 101}, nil, nil},
		"while it was down":  {map[string]func(time.Time) bool{"view": never, "buy": between(at(20, 8), at(20, 11))}, Question{}, []Gap{{From: at(20, 8), To: at(20, 11)}}, nil},
		"a new type":         {map[string]func(time.Time) bool{"view": never, "buy": never, "new": func(x time.Time) bool { return x.Before(at(15, 0)) || x.After(at(20, 0)) }}, Question{}, nil, nil},
		"it was silent a week before, too": {map[string]func(time.Time) bool{"view": never, "buy": func(x time.Time) bool {
			return between(at(13, 8), at(13, 9))(x) || between(at(20, 8), at(20, 9))(x)
		}}, Question{}, nil, []string{"shop / buy 13 09-13 10"}},
	} {
		counts := &recorded{}
		for hour := now.Truncate(time.Hour).AddDate(0, 0, -8*7); hour.Before(now); hour = hour.Add(time.Hour) {
			for typ, without := range c.without {
				if !without(hour) {
					counts.add(typ, hour, 100)
				}
			}
		}
		book, err := Open(filepath.Join(t.TempDir(), File), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		book.state.Gaps = c.gaps
		w := New(Deps{Book: book, Counts: counts}, Setup{
			Alarms: alarming.Alarms{Rules: append(silences[:2:2], alarming.UsualOf(alarming.DiskFull))}, Projects: []trackway.Project{{Name: "shop", Number: 1}},
		})
		if c.ask.Weeks == 0 {
			c.ask.Weeks = 3
		}
		got, err := w.Simulate(t.Context(), now, c.ask)
		if err != nil {
			t.Fatal(err)
		}
		var rang []string
		for _, r := range got.Rang {
			text := r.Subject + r.Rang.Format(" 02 15-")
			if r.Ended != nil {
				text += r.Ended.Format("02 15")
			}
			rang = append(rang, text)
		}
		if diff := cmp.Diff(c.want, rang); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if fmt.Sprint(got.Unknown) != "[disk_full]" || got.Subjects != len(c.without)+1 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
