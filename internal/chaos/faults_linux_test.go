package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"trackway/internal/partition"
)

// fault breaks something, makes sure that the others go on, and mends it.
type fault struct {
	name string
	do   func(*cluster)
}

// A few more acknowledgements show that the servers go on.
const some = 20

// faultsOf returns what can happen to a cluster of so many servers.
func faultsOf(n int) []fault {
	faults := []fault{
		{"kill a follower", func(c *cluster) { c.killed(c.others(c.leader())[0]) }},
		{"kill the leader", func(c *cluster) { c.killed(c.leader()) }},
		{"kill three leaders in turn", killLeaders},
		{"kill the leader while it removes a server", killWhileRemoving},
		{"kill all", killAll},
		{"stop a follower for 1 to 10 s", func(c *cluster) { c.stopped(c.others(c.leader())[0]) }},
		{"stop the leader for 1 to 10 s", func(c *cluster) { c.stopped(c.leader()) }},
		{"cut off a follower", func(c *cluster) { c.alone(c.others(c.leader())[0]) }},
		{"cut off the leader", func(c *cluster) { c.alone(c.leader()) }},
		{"cut one way", oneWay},
		{"bridge", bridge},
		{"cut and mend again and again", flapping},
		{"lose packets", func(c *cluster) { c.bad(weather{loss: 0.01 + 0.14*c.random.Float64()}) }},
		{"delay packets", func(c *cluster) {
			c.bad(weather{delay: c.between(5*time.Millisecond, 100*time.Millisecond), jitter: 20 * time.Millisecond})
		}},
		{"lose and delay packets", func(c *cluster) {
			c.bad(weather{loss: 0.05 * c.random.Float64(), delay: c.between(5*time.Millisecond, 40*time.Millisecond), jitter: 10 * time.Millisecond})
		}},
		{"slow network of a follower", slowNetwork},
		{"slow follower", slowServer},
		{"full disk", func(c *cluster) { c.full(c.either()) }},
		{"two full disks", twoFull},
		{"restart one after another", rolling},
		{"transfer", transfer},
		{"empty the disk of a server", func(c *cluster) { c.emptied(c.either(), false) }},
		{"remove a server, and join", func(c *cluster) { c.emptied(c.either(), true) }},
		{"flip bits of a follower", flipBits},
		{"kill all, and empty a disk", killAllEmptyOne},
		{"send the whole state", func(c *cluster) { c.wholeState(func(_, _ *server) {}) }},
		{"cut while the whole state is sent", func(c *cluster) {
			c.wholeState(func(from, to *server) {
				c.network.between(from.n-1, to.n-1, weather{cut: true})
				c.pass(c.between(time.Second, 4*time.Second))
			})
		}},
		{"kill the leader while it sends the whole state", func(c *cluster) {
			c.wholeState(func(from, _ *server) {
				from.kill()
				from.start()
			})
		}},
		{"kill who gets the whole state", func(c *cluster) {
			c.wholeState(func(_, to *server) {
				to.kill()
				to.start()
			})
		}},
		{"kill a server in bad weather", func(c *cluster) { c.inBadWeather(func() { c.killed(c.either()) }) }},
		{"empty a disk in bad weather", func(c *cluster) { c.inBadWeather(func() { c.emptied(c.either(), false) }) }},
	}
	if *clocksFlag {
		faults = append(faults, fault{"wrong clock", wrongClock})
	}
	if n == 3 {
		return append(faults, fault{"recover after two are lost", recoverOne})
	}
	return append(faults,
		fault{"kill two", func(c *cluster) { c.killed(c.others()[:2]...) }},
		fault{"kill the leader and another", func(c *cluster) { l := c.leader(); c.killed(l, c.others(l)[0]) }},
		fault{"cut two off from three", cutTwo},
		fault{"remove two, and join", removeTwo},
	)
}

// killed kills servers, and starts them again once the others have gone on.
func (c *cluster) killed(victims ...*server) {
	c.t.Helper()
	for _, s := range victims {
		s.kill()
	}
	c.load.await(some)
	for _, s := range victims {
		s.start()
	}
}

// killLeaders kills each new leader. The one before comes back meanwhile.
func killLeaders(c *cluster) {
	for range 3 {
		s := c.leader()
		s.kill()
		s.start()
		c.load.await(some)
	}
}

// killWhileRemoving kills the leader while a server is removed, so nobody knows
// what became of that. The server then joins with an empty disk.
func killWhileRemoving(c *cluster) {
	leader := c.leader()
	others := c.others(leader)
	removed := make(chan struct{})
	go func() {
		defer close(removed)
		_ = others[1].run(c.t.Context(), nil, "cluster", "remove", others[0].address.String()+":7946") // it may fail
	}()
	c.pass(c.between(0, 300*time.Millisecond))
	leader.kill()
	leader.start()
	<-removed
	c.load.await(some)
	c.emptied(others[0], false)
}

func killAll(c *cluster) {
	for _, s := range c.others() {
		s.kill()
	}
	for _, s := range c.others() {
		s.start()
	}
}

// killAllEmptyOne ends all servers, and one comes back without its data. Most
// of the others have each acknowledged event, or at least one of them has.
func killAllEmptyOne(c *cluster) {
	all := c.others()
	for _, s := range all {
		s.kill()
	}
	for _, s := range all[1:] {
		s.start()
	}
	c.load.await(some)
	c.join(all[0])
}

// wholeState has the servers drop their logs, by an erasure, and empties a
// disk. So the leader has to send all its data, which takes a while. Meanwhile,
// something is done to one of them.
func (c *cluster) wholeState(disturb func(from, to *server)) {
	c.t.Helper()
	c.erase()
	from := c.leader()
	to := c.others(from)[0]
	to.kill()
	c.load.await(some)
	c.network.between(from.n-1, to.n-1, weather{rate: 500_000})
	to.empty()
	to.start()
	joined := make(chan error, 1)
	go func() {
		for {
			err := to.run(c.t.Context(), nil, "cluster", "join", from.address.String()+":7946")
			if err == nil || c.t.Context().Err() != nil {
				joined <- err
				return
			}
			c.pass(lookAgain)
		}
	}()
	c.pass(c.between(500*time.Millisecond, 2*time.Second))
	disturb(from, to)
	c.network.all(weather{})
	if err := <-joined; err != nil {
		c.t.Fatal(err)
	}
}

// erase erases a customer, and waits until all servers have cleaned their logs.
func (c *cluster) erase() {
	c.t.Helper()
	s := c.leader()
	ids := fmt.Sprintf(`{"customer_ids":{"registered":"erased-%d"}`, c.random.Uint64())
	for _, call := range []struct{ path, key, rest string }{
		{"/track/v2/projects/" + project + "/customers/events", key, `,"event_type":"other","properties":{"email":"jane@example.com"}}`},
		{"/data/v2/projects/" + project + "/customers/anonymize", readKey, "}"},
	} {
		var last string
		s.eventually(call.path, func(ctx context.Context) bool {
			status, answer, err := s.call(ctx, http.MethodPost, call.path, call.key, []byte(ids+call.rest))
			last = fmt.Sprintf("%d %s %v", status, answer, err)
			return err == nil && status == http.StatusOK
		}, func() string { return last })
	}
	for _, s := range c.servers {
		var last string
		s.eventually("the erasure is done", func(ctx context.Context) bool {
			status, answer, err := s.call(ctx, http.MethodGet, "/api/projects/"+project+"/erasures", readKey, nil)
			last = fmt.Sprintf("%d %s %v", status, answer, err)
			return err == nil && status == http.StatusOK && strings.Contains(last, `"done"`) && !strings.Contains(last, `"scheduled"`) &&
				!strings.Contains(last, `"running"`)
		}, func() string { return last })
	}
}

// inBadWeather does something while the network loses and delays packets.
func (c *cluster) inBadWeather(do func()) {
	c.t.Helper()
	c.network.all(weather{loss: 0.03, delay: 5 * time.Millisecond, jitter: 10 * time.Millisecond})
	do()
	c.load.await(some)
	c.network.all(weather{})
}

// stopped stops a server for a while, as a machine does that is suspended.
func (c *cluster) stopped(s *server) {
	c.t.Helper()
	s.signal(syscall.SIGSTOP)
	c.pass(c.between(time.Second, 10*time.Second))
	s.signal(syscall.SIGCONT)
}

// alone cuts a server off from the others. Clients still reach it.
func (c *cluster) alone(s *server) {
	c.t.Helper()
	c.network.around(s.n-1, weather{cut: true})
	c.goesOn()
}

// goesOn waits until the servers have gone on for longer than a change of the
// leader takes, and mends the network.
func (c *cluster) goesOn() {
	c.t.Helper()
	c.pass(c.between(time.Second, 8*time.Second))
	c.load.await(some)
	c.network.all(weather{})
}

// oneWay cuts one or all connections of a server in one direction: what it
// sends, or what is sent to it. A leader that hears nothing steps down. One
// that hears a single follower of four, or whose connection to a single one is
// cut, may lead on.
func oneWay(c *cluster) {
	s := c.either()
	there, others := c.random.IntN(2) == 0, c.others(s)
	if c.random.IntN(2) == 0 {
		others = others[:1]
	}
	for _, o := range others {
		if there {
			c.network.set(s.n-1, o.n-1, weather{cut: true})
		} else {
			c.network.set(o.n-1, s.n-1, weather{cut: true})
		}
	}
	c.goesOn()
}

// bridge cuts the connection between two servers that both reach the others.
func bridge(c *cluster) {
	a := c.either()
	c.network.between(a.n-1, c.others(a)[0].n-1, weather{cut: true})
	c.goesOn()
}

// flapping cuts a server off and mends its connections, again and again.
func flapping(c *cluster) {
	s := c.either()
	for end := time.Now().Add(c.between(4*time.Second, 10*time.Second)); time.Now().Before(end); {
		c.network.around(s.n-1, weather{cut: true})
		c.pass(c.between(50*time.Millisecond, 1500*time.Millisecond))
		c.network.all(weather{})
		c.pass(c.between(50*time.Millisecond, 1500*time.Millisecond))
	}
}

// bad has bad weather everywhere.
func (c *cluster) bad(w weather) {
	c.t.Helper()
	c.network.all(w)
	c.goesOn()
}

func slowNetwork(c *cluster) {
	s := c.others(c.leader())[0]
	c.network.around(s.n-1, weather{rate: 4_000 + c.random.IntN(60_000)})
	c.goesOn()
}

// slowServer lets a follower run for a tenth of the time.
func slowServer(c *cluster) {
	s := c.others(c.leader())[0]
	const slice = 20 * time.Millisecond
	for end := time.Now().Add(c.between(2*time.Second, 8*time.Second)); time.Now().Before(end); {
		s.signal(syscall.SIGSTOP)
		c.pass(9 * slice)
		s.signal(syscall.SIGCONT)
		c.pass(slice)
	}
	c.load.await(some)
}

// filler is the file that fills a disk.
func (s *server) filler() string { return filepath.Join(s.dir, "filler") }

// fill leaves so much room on a server's disk.
func (s *server) fill(left uint64) {
	s.t.Helper()
	s.filled.Store(true)
	s.files(func() error {
		var disk unix.Statfs_t
		if err := unix.Statfs(s.dir, &disk); err != nil {
			return err
		}
		f, err := os.Create(s.filler())
		if err != nil {
			return err
		}
		if free := disk.Bavail * uint64(disk.Bsize); free > left {
			err = unix.Fallocate(int(f.Fd()), 0, 0, int64(free-left))
			if errors.Is(err, unix.ENOSPC) {
				err = nil // then there is even less room
			}
		}
		return errors.Join(err, f.Close())
	})
}

// full fills a server's disk: below the reserve, or completely. A server whose
// disk is full at once may end, because a write has failed.
func (c *cluster) full(s *server) {
	c.t.Helper()
	completely := c.random.IntN(2) == 0
	left := uint64(reserve/2) << 20
	if completely {
		left = 0
	}
	s.fill(left)
	c.pass(c.between(2*time.Second, 6*time.Second))
	c.load.await(some)
	c.roomAgain(s, completely)
}

// roomAgain empties a server's disk.
func (c *cluster) roomAgain(s *server, mayEnd bool) {
	c.t.Helper()
	s.files(func() error { return os.Remove(s.filler()) })
	s.eventually("it knows that it has room", func(ctx context.Context) bool {
		_, body, err := s.get(ctx, "/metrics")
		return err != nil && !s.running() || hasRoom(string(body))
	}, func() string { return "" })
	s.filled.Store(false)
	if !s.running() {
		if !mayEnd {
			c.t.Fatalf("server %d has ended, although its disk had room:\n%s", s.n, s.tail())
		}
		s.start()
	}
}

// hasRoom reports whether all partitions of a server have room, as its metrics
// say. With several partitions, each line names one.
func hasRoom(metrics string) bool {
	room := 0
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "trackway_cluster_disk_low") && strings.HasSuffix(line, " 0\n") {
			room++
		}
	}
	return room == *partitionsFlag
}

// twoFull fills two disks. With three servers, nothing is stored meanwhile.
func twoFull(c *cluster) {
	victims := c.others()[:2]
	for _, s := range victims {
		s.fill(uint64(reserve/2) << 20)
	}
	c.pass(c.between(3*time.Second, 6*time.Second))
	for _, s := range victims {
		c.roomAgain(s, false)
	}
}

// rolling restarts one server after another, the leader last, as an update
// does.
func rolling(c *cluster) {
	leader := c.leader()
	for _, s := range append(c.others(leader), leader) {
		s.stop()
		s.start()
		s.awaitReady()
	}
}

func transfer(c *cluster) {
	for range 3 {
		s := c.others()[0]
		s.must("cluster", "transfer")
		c.load.await(some)
	}
}

// emptied has a server join again with an empty disk, under its old address.
func (c *cluster) emptied(s *server, remove bool) {
	c.t.Helper()
	if remove {
		if c.leader() == s {
			s.must("cluster", "transfer")
		}
		c.others(s)[0].must("cluster", "remove", s.address.String()+":7946")
	}
	if s.running() {
		s.kill()
	}
	c.load.await(some)
	c.join(s)
}

// join has an empty server join.
func (c *cluster) join(s *server) {
	c.t.Helper()
	s.empty()
	s.start()
	s.must("cluster", "join", c.leader().address.String()+":7946")
}

// flipBits changes a few bits in the files of a follower while it is stopped.
// If it starts, it must have everything. A server that finds the damage ends.
// In both cases it then gets an empty disk.
func flipBits(c *cluster) {
	s := c.others(c.leader())[0]
	if c.random.IntN(2) == 0 {
		s.stop()
	} else {
		s.kill()
	}
	of, part := c.random.IntN(*partitionsFlag), []string{"log", "state"}[c.random.IntN(2)]
	var names []string
	s.files(func() error {
		return filepath.WalkDir(filepath.Join(s.data(), partition.Name(of), part), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if info, err := entry.Info(); err == nil && info.Size() > 0 {
				names = append(names, name)
			}
			return nil
		})
	})
	name, flips := names[c.random.IntN(len(names))], 1+c.random.IntN(3)
	s.files(func() error {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for range flips {
			text[c.random.IntN(len(text))] ^= 1 << c.random.IntN(8)
		}
		return os.WriteFile(name, text, 0o600)
	})
	s.start()
	state := fmt.Sprintf("%d bits of %s flipped", flips, name)
	s.eventually("it is ready or ends", func(ctx context.Context) bool {
		code, _, _ := s.get(ctx, "/-/ready")
		return code == http.StatusOK || !s.running()
	}, func() string { return state })
	c.load.await(some)
	if s.running() {
		goOn := c.load.pause()
		c.sound(s, state)
		goOn(time.Now())
	} else if text := s.tail(); strings.Contains(text, "panic:") || strings.Contains(text, "fatal error:") {
		c.t.Errorf("%s: server %d ended:\n%s", state, s.n, text)
	}
	c.emptied(s, false)
}

// sound checks a server whose files were changed: it has what the others have,
// or it ends when it finds the damage.
func (c *cluster) sound(s *server, state string) {
	c.t.Helper()
	leader := c.leader()
	s.eventually("it has the entries of the others, or ends", func(ctx context.Context) bool {
		got, err := s.status(ctx)
		other, otherErr := leader.status(ctx)
		return err == nil && otherErr == nil && got.Applied >= other.Applied || !s.running()
	}, func() string { return state })
	var want, got bytes.Buffer
	if err := leader.run(c.t.Context(), &want, "export", "--project", "demo", "--quiet"); err != nil {
		c.t.Fatal(err)
	}
	err := s.run(c.t.Context(), &got, "export", "--project", "demo", "--quiet")
	switch {
	case err == nil && !bytes.Equal(want.Bytes(), got.Bytes()) && !strings.Contains(s.tail(), "damage"):
		c.t.Errorf("%s: server %d exports other data than the leader", state, s.n)
	case err != nil:
		c.t.Logf("%s: %v", state, err)
	}
}

// wrongClock has a server whose clock jumps, forwards or backwards.
func wrongClock(c *cluster) {
	s := c.either()
	by := c.between((skew+1)*time.Second, time.Hour)
	if c.random.IntN(3) == 0 {
		by = time.Second // within the limit
	}
	if c.random.IntN(2) == 0 {
		by = -by
	}
	s.shift(by)
	wrong := by.Abs() > skew*time.Second
	s.eventually("it notices its clock", func(ctx context.Context) bool {
		code, _, err := s.get(ctx, "/-/ready")
		return !wrong || err == nil && code != http.StatusOK
	}, func() string { return by.String() })
	c.load.await(some)
	s.shift(0)
}

// recoverOne loses two servers of three for good. While the servers have the
// same, nothing is lost with them.
func recoverOne(c *cluster) {
	goOn := c.load.pause()
	c.settle()
	began := time.Now()
	all := c.others()
	left, lost := all[0], all[1:]
	for _, s := range lost {
		s.kill()
	}
	left.must("cluster", "recover", "--others-are-lost")
	left.awaitReady()
	goOn(began)
	c.load.await(some)
	for _, s := range lost {
		c.join(s)
		s.awaitReady()
	}
}

// cutTwo cuts two servers of five off from the others.
func cutTwo(c *cluster) {
	victims := c.others()[:2]
	for _, s := range victims {
		for _, o := range c.others(victims...) {
			c.network.between(s.n-1, o.n-1, weather{cut: true})
		}
	}
	c.goesOn()
}

// removeTwo removes two servers of five, one after the other, which join again.
func removeTwo(c *cluster) {
	victims := c.others(c.leader())[:2]
	for _, s := range victims {
		c.others(victims...)[0].must("cluster", "remove", s.address.String()+":7946")
		s.kill()
		c.load.await(some)
	}
	for _, s := range victims {
		c.join(s)
		s.awaitReady()
	}
}
