package chaos

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// weather is what happens to the packets from one place to another. The zero
// value is a perfect network.
type weather struct {
	cut    bool
	loss   float64       // the share of packets that get lost
	delay  time.Duration // of each packet
	jitter time.Duration // added to the delay, at most
	rate   int           // bytes a second; 0: as many as come
}

// switchboard is the network between the places. It reads each packet that a
// place sends, and hands it to the place that has its address, as the weather
// permits. Nothing else can be reached through it.
type switchboard struct {
	places []*place
	links  [][]*link // from, to
	stop   chan struct{}
	ended  sync.WaitGroup
}

// link is one direction between two places.
type link struct {
	now   atomic.Pointer[weather]
	late  chan packet // on their way, in order
	write *os.File
}

type packet struct {
	due  time.Time
	data []byte
}

// onTheWay bounds the packets of a link. One more is lost, as at a real switch.
const onTheWay = 1024

// connect connects places until close is called.
func connect(places []*place) *switchboard {
	s := &switchboard{places: places, stop: make(chan struct{})}
	port := make(map[netip.Addr]int)
	for i, from := range places {
		port[from.address] = i
		row := make([]*link, len(places))
		for j, to := range places {
			row[j] = &link{late: make(chan packet, onTheWay), write: to.wire}
			row[j].now.Store(&weather{})
			s.ended.Go(func() { row[j].carry(s.stop) })
		}
		s.links = append(s.links, row)
	}
	for i, from := range places {
		s.ended.Go(func() { s.read(i, from.wire, port) })
	}
	return s
}

// read takes what a place sends.
func (s *switchboard) read(from int, wire *os.File, port map[netip.Addr]int) {
	buffer := make([]byte, mtu+64)
	for {
		n, err := wire.Read(buffer)
		if err != nil {
			return // it is closed
		}
		const header, version4 = 20, 4
		if n < header || buffer[0]>>4 != version4 {
			continue
		}
		if to, ok := port[netip.AddrFrom4([4]byte(buffer[16:20]))]; ok && to != from {
			s.links[from][to].send(buffer[:n])
		}
	}
}

// send sends a packet on, or loses it.
func (l *link) send(data []byte) {
	w := l.now.Load()
	if w.cut || w.loss > 0 && rand.Float64() < w.loss {
		return
	}
	if w.delay == 0 && w.jitter == 0 && w.rate == 0 {
		_, _ = l.write.Write(data) // lost if the place takes no more
		return
	}
	due := time.Now().Add(w.delay)
	if w.jitter > 0 {
		due = due.Add(rand.N(w.jitter))
	}
	select {
	case l.late <- packet{due, append([]byte(nil), data...)}:
	default:
	}
}

// carry delivers the packets that are late.
func (l *link) carry(stop chan struct{}) {
	for {
		select {
		case p := <-l.late:
			wait := time.Until(p.due)
			if rate := l.now.Load().rate; rate > 0 {
				wait = max(wait, time.Duration(len(p.data))*time.Second/time.Duration(rate))
			}
			if wait > 0 {
				timer := time.NewTimer(wait)
				select {
				case <-timer.C:
				case <-stop:
					timer.Stop()
					return
				}
			}
			_, _ = l.write.Write(p.data)
		case <-stop:
			return
		}
	}
}

// set sets the weather between two places, in one direction.
func (s *switchboard) set(from, to int, w weather) { s.links[from][to].now.Store(&w) }

// all sets the weather everywhere.
func (s *switchboard) all(w weather) {
	for i := range s.links {
		for j := range s.links[i] {
			s.set(i, j, w)
		}
	}
}

// between sets the weather between two places, in both directions.
func (s *switchboard) between(a, b int, w weather) {
	s.set(a, b, w)
	s.set(b, a, w)
}

// around sets the weather between a place and all others.
func (s *switchboard) around(a int, w weather) {
	for b := range s.links {
		if b != a {
			s.between(a, b, w)
		}
	}
}

// close ends the network. The places' wires are closed with it.
func (s *switchboard) close() {
	close(s.stop)
	for _, p := range s.places {
		_ = p.wire.Close()
	}
	s.ended.Wait()
}
