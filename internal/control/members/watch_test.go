package members

import (
	"context"
	"errors"
	"strings"
	"sync"
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
		var mu sync.Mutex // guards what the cluster does
		change := func(do func()) {
			mu.Lock()
			defer mu.Unlock()
			do()
		}
		self := func() Status {
			mu.Lock()
			defer mu.Unlock()
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
			ended <- w.Run(ctx, self, func(ctx context.Context, m *Member) (uint64, error) {
				address := m.Address
				mu.Lock()
				hangs, index := down && address == "c:1", applied[address]
				mu.Unlock()
				if hangs {
					<-ctx.Done()
					return 0, errors.New("no answer")
				}
				return index, nil
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

		change(func() { down, status.Applied, applied["b:1"] = true, 15, 15 })
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

		change(func() { down, applied["c:1"] = false, 15 })
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

// TestBusy: members that keep up with a busy cluster are not behind because
// they were asked a moment ago. The furthest member counts, even if that is
// another one than this server.
func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		applied := func() uint64 { return uint64(time.Since(begun).Milliseconds()) * 10 }
		self := func() Status {
			return Status{
				ID: "a", Address: "a:1", Leader: "a:1", Leading: true, Applied: applied(),
				Members: []Member{{ID: "a", Address: "a:1", Voter: true}, {ID: "b", Address: "b:1", Voter: true}, {ID: "c", Address: "c:1", Voter: true}},
			}
		}
		var w Watch
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- w.Run(ctx, self, func(_ context.Context, m *Member) (uint64, error) {
				address := m.Address
				if address == "b:1" {
					return applied() + 100, nil
				}
				return applied(), nil
			})
		}()
		_ = sleep.For(t.Context(), 6*pace-10*time.Millisecond) // shortly before all are asked again
		synctest.Wait()
		s := self()
		w.Complete(&s, time.Now())
		if b, c := s.Members[1], s.Members[2]; s.Members[0].Behind != 0 || b.Behind != 0 || c.Behind != 100 || s.Level != Good {
			t.Errorf("got %d, %d, %d entries behind, %s %q", s.Members[0].Behind, b.Behind, c.Behind, s.Level, s.Trouble)
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
		{"two of three", "", []Member{{}, {Silent: true}, {Silent: true}}, Bad, "2 of 3 servers do not answer: commands are refused with 503, and reads go on. That ends once 1 more answers. If they run, this server is cut off from them."},
		{"leader of two of three", "1:1", []Member{{}, {Silent: true}, {Silent: true}}, Bad, "2 of 3 servers do not answer: commands are refused with 503, and reads go on. That ends once 1 more answers. If they run, this server is cut off from them."},
		{"four of five", "", []Member{{}, {Silent: true}, {Silent: true}, {Silent: true}, {Silent: true}}, Bad, "4 of 5 servers do not answer: commands are refused with 503, and reads go on. That ends once 2 more answer. If they run, this server is cut off from them."},
		{"only the leader", "1:1", []Member{{}, {Silent: true}, {}}, Bad, "1:1 leads, but does not answer this server. Commands wait, and are refused with 503 if that takes long. Reads go on."},
		{"a leader that hears nobody", "0:1", []Member{{ID: "leads"}, {Silent: true}, {Silent: true}}, Warn, "1:1 and 2:1 do not answer this server. It leads at the moment, but may not be able to store commands for long."},
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
		s := Status{ID: "0", Leader: c.leader, Leading: c.voters[0].ID == "leads"}
		for i, m := range c.voters {
			m.Voter, m.ID, m.Address = true, string(rune('0'+i)), string(rune('0'+i))+":1"
			s.Members = append(s.Members, m)
		}
		if level, got := judge(&s); level != c.level || got != c.want {
			t.Errorf("%s: got %s %q, want %s %q", c.name, level, got, c.level, c.want)
		}
	}
}

// TestTroubleOfStranger: a server that is no member, or has not caught up, says
// why it takes nothing.
func TestTroubleOfStranger(t *testing.T) {
	t.Parallel()
	others := []Member{{ID: "b", Address: "b:1", Voter: true}, {ID: "c", Address: "c:1", Voter: true}, {ID: "d", Address: "d:1", Voter: true}}
	for want, s := range map[string]Status{
		"This server takes no calls yet: no vote was held.": {ID: "a", Starting: true, Ready: "no vote was held"},
		"This server takes no calls yet: it is behind.":     {ID: "b", Starting: true, Ready: "it is behind", Leader: "c:1", Members: others},
		"This server takes no calls yet: no server leads.":  {ID: "b", Starting: true, Ready: "no server leads", Members: others},
		"This server takes no commands: it was removed.":    {ID: "a", Ready: "it was removed", Leader: "b:1", Members: others},
	} {
		if level, got := judge(&s); level != Bad || got != want {
			t.Errorf("got %s %q, want %q", level, got, want)
		}
	}
}

// TestJudgeOverKafka: each server stores commands without the others.
func TestJudgeOverKafka(t *testing.T) {
	t.Parallel()
	self, other := Member{ID: "a", Address: "a:1", Voter: true}, Member{ID: "b", Address: "b:1", Voter: true}
	for _, c := range []struct {
		change func(s *Status)
		level  Level
		want   string
	}{
		{func(*Status) {}, Good, ""},
		{func(s *Status) { s.Members = s.Members[:1] }, Good, ""},
		{func(s *Status) { s.Members[1].Silent = true }, Warn, "b:1 does not answer"},
		{func(s *Status) { s.Leader = "" }, Warn, "No server leads"},
		{func(s *Status) { s.Members[1].Unfit = "no room" }, Warn, "b:1 takes no commands: no room."},
		{func(s *Status) { s.Members[0].Unfit, s.Ready = "no room", "no room" }, Bad, "a:1 takes no commands: no room."},
		{func(s *Status) { s.Ready = "the brokers are gone" }, Bad, "the brokers are gone."},
		{func(s *Status) { s.Starting, s.Ready = true, "the log was not begun" }, Bad, "takes no calls yet"},
		{func(s *Status) { s.Members[1].Behind = farBehind + 1 }, Warn, "b:1 lacks 10001 entries"},
	} {
		s := Status{Log: "kafka", ID: "a", Leader: "a:1", Members: []Member{self, other}}
		c.change(&s)
		if level, got := judge(&s); level != c.level || !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("got %s, %q, want %s, %q", level, got, c.level, c.want)
		}
	}
}
