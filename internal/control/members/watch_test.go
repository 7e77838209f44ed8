package members

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"trackway/internal/sleep"
)

// TestWatch: a member that stops answering is silent since its last answer, and
// what it lacks is counted from then on.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		status := Status{
			ID: "a", Address: "a:1", Leader: "a:1", Leading: true, Applied: 10,
			Members: []Member{{ID: "a", Address: "a:1", Voter: true}, {ID: "b", Address: "b:1", Voter: true}, {ID: "c", Address: "c:1", Voter: true}},
		}
		self := func() Status {
			s := status
			s.Members = append([]Member(nil), status.Members...)
			return s
		}
		applied := map[string]uint64{"b:1": 10, "c:1": 10}
		down := false
		var w Watch
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- w.Run(ctx, self, func(ctx context.Context, address string) (uint64, error) {
				if down && address == "c:1" {
					<-ctx.Done() // it hangs
					return 0, errors.New("no answer")
				}
				return applied[address], nil
			})
		}()
		look := func() (s Status) {
			synctest.Wait()
			s = self()
			w.Complete(&s, time.Now())
			return s
		}
		s := look()
		if s.Level != Good || s.Trouble != "" || s.Members[2].Behind != 0 || s.Members[2].Heard == nil || *s.Members[2].Seconds != 0 {
			t.Errorf("all is well: got %+v", s)
		}
		last := *s.Members[2].Heard

		down, status.Applied, applied["b:1"] = true, 15, 15
		_ = sleep.For(t.Context(), 20*time.Second)
		s = look()
		c := s.Members[2]
		if !c.Silent || !c.Heard.Equal(last) || c.Behind != 5 || c.Seconds == nil || *c.Seconds < 15 || *c.Seconds > 20 {
			t.Errorf("c is down: got %+v", c)
		}
		want := "c:1 does not answer. Nothing is lost, and commands are stored. If one more server fails, commands are refused."
		if s.Level != Warn || s.Trouble != want {
			t.Errorf("c is down: got %s %q, want %q", s.Level, s.Trouble, want)
		}
		if b := s.Members[1]; b.Silent || b.Behind != 0 {
			t.Errorf("b works: got %+v", b)
		}

		down, applied["c:1"] = false, 15
		_ = sleep.For(t.Context(), 2*pace)
		if s = look(); s.Level != Good || s.Members[2].Silent || s.Members[2].Behind != 0 {
			t.Errorf("c is back: got %+v", s)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestTrouble: the words say what follows for commands and reads.
func TestTrouble(t *testing.T) {
	t.Parallel()
	half := 45.0
	for _, c := range []struct {
		name   string
		leader string
		voters []Member
		level  Level
		want   string
	}{
		{"two of three", "", []Member{{}, {Silent: true}, {Silent: true}}, Bad, "2 of 3 servers do not answer: commands are refused with 503, and reads go on. The cluster works again once 2 of them answer."},
		{"leader of two of three", "1:1", []Member{{}, {Silent: true}, {Silent: true}}, Bad, "2 of 3 servers do not answer: commands are refused with 503, and reads go on. The cluster works again once 2 of them answer."},
		{"election", "", []Member{{}, {}, {Silent: true}}, Bad, "No server leads at the moment. Commands wait for an election, and are refused with 503 if that takes long. Reads go on."},
		{"partly cut off", "0:1", []Member{{}, {Silent: true}, {Silent: true}}, Warn, "1:1 and 2:1 do not answer this server. The leader does, so commands are stored."},
		{"one of five", "0:1", []Member{{}, {}, {}, {}, {Silent: true}}, Warn, "4:1 does not answer. Nothing is lost, and commands are stored. 1 more may fail."},
		{"two", "0:1", []Member{{}, {}}, Warn, "Two servers with a vote are no better than one: if either fails, commands are refused. A third one should join."},
		{"one", "0:1", []Member{{}}, Warn, "This cluster has one server with a vote. Nothing survives the loss of its disk: two others should join."},
		{"slow", "0:1", []Member{{}, {}, {Behind: 5, Seconds: &half}}, Warn, "2:1 lacks 5 entries. Reads there are old, and it may have to get the whole state. Its processor, disk or network may be too slow."},
		{"no room", "0:1", []Member{{}, {}, {Unfit: "its disk is full"}}, Warn, "2:1 takes no commands: its disk is full."},
		{"no room here", "1:1", []Member{{Unfit: "This disk is full."}, {}, {}}, Bad, "0:1 takes no commands: This disk is full."},
		{"no room in one of two", "0:1", []Member{{}, {Unfit: "its disk is full"}}, Warn, "1:1 takes no commands: its disk is full."},
		{"it has stopped", "0:1", []Member{{}, {}, {Silent: true, Differs: 7}}, Warn, "2:1 does not answer. Nothing is lost, and commands are stored. If one more server fails, commands are refused. " +
			"2:1 has other data than most servers, as the digest of entry 7 says. Remove it, empty its data directory, and let it join again."},
		{"other data", "0:1", []Member{{}, {}, {Differs: 7}}, Warn, "2:1 has other data than most servers, as the digest of entry 7 says. Remove it, empty its data directory, and let it join again."},
		{"well", "0:1", []Member{{}, {}, {Behind: 5}}, Good, ""},
	} {
		s := Status{ID: "0", Leader: c.leader}
		for i, m := range c.voters {
			m.Voter, m.ID, m.Address = true, string(rune('0'+i)), string(rune('0'+i))+":1"
			s.Members = append(s.Members, m)
		}
		if level, got := judge(&s); level != c.level || got != c.want {
			t.Errorf("%s: got %s %q, want %s %q", c.name, level, got, c.level, c.want)
		}
	}
}
