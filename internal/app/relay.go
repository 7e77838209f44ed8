package app

import (
	"context"
	"net/http"
	"strings"
	"time"

	"trackway"
	"trackway/internal/app/member"
	"trackway/internal/control/relay"
	"trackway/internal/destination/listing"
	"trackway/internal/listen"
	"trackway/internal/log/raft/peer"
	"trackway/internal/partition"
)

// Destinations are sent to by the server that leads their partition. The others
// pass on to it what operators ask.

// relayed returns the routes of the control socket of a member. It also serves
// other members, until the listener is closed.
func (s *server) relayed(ctx context.Context, h http.Handler) http.Handler {
	from := relay.NewListener()
	l := listen.Patient(ctx, from, s.operatorBounds(), s.Log)
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !aboutDestinations(r):
			http.NotFound(w, r)
		case !s.acting(r):
			relay.Refuse(w, member.ErrBegins.Error())
		default:
			relay.Believe(r)
			h.ServeHTTP(w, r)
		}
	})
	l.Handle(answer)
	s.operated.Store(&answer)
	s.others = l
	s.member.Handle(peer.Operate, from.Take)
	forward := make([]http.Handler, len(s.parts))
	for i := range s.parts {
		to := relay.Forward(s.member.ToLeader(i))
		forward[i] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			relay.Tell(r)
			to.ServeHTTP(w, r)
		})
	}
	s.operate = relay.Spread(h, func(r *http.Request) (all []relay.Place) {
		for _, part := range s.asked(r) {
			place := relay.Place{Name: partition.Name(part), Serve: h}
			if r.URL.Path == "/destinations" {
				place.Lists = s.destinations.Names(part)
			}
			if !s.actingIn(part) {
				place.Server, place.Serve = s.member.LedBy(part), forward[part]
			}
			all = append(all, place)
		}
		return all
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if aboutDestinations(r) {
			s.operate.ServeHTTP(w, r)
		} else {
			h.ServeHTTP(w, r)
		}
	})
}

// asked returns the partitions whose destinations an operator asks about. Any
// server proposes columns if there are several.
func (s *server) asked(r *http.Request) (parts []int) {
	if len(s.parts) == 1 {
		return []int{0}
	}
	name := r.URL.Query().Get("name")
	switch {
	case r.URL.Path == "/destinations/suggest":
	case name == "":
		for _, p := range s.parts {
			if len(s.destinations.Names(p.number)) > 0 {
				parts = append(parts, p.number)
			}
		}
	default:
		found, _ := s.destinations.Find(name) // without any, this server says that it is unknown
		for _, p := range found {
			parts = append(parts, p.Part)
		}
	}
	return parts
}

// acting reports whether this server can answer what another one passes on.
// Each server lists what it sends to.
func (s *server) acting(r *http.Request) bool {
	if len(s.parts) > 1 && r.URL.Query().Get("name") == "" {
		return true
	}
	for _, part := range s.asked(r) {
		if !s.actingIn(part) {
			return false
		}
	}
	return true
}

// actingIn reports whether this server sends to the destinations of a
// partition.
func (s *server) actingIn(part int) bool {
	p := s.parts[part]
	return p.store != nil && p.destinations.Acting()
}

// serveOthers answers what operators ask another server about destinations of
// partitions that it does not hold.
func (s *server) serveOthers(w http.ResponseWriter, r *http.Request) {
	if h := s.operated.Load(); h != nil {
		h.ServeHTTP(w, r)
	} else {
		relay.Refuse(w, member.ErrBegins.Error())
	}
}

func aboutDestinations(r *http.Request) bool {
	return r.URL.Path == "/destinations" || strings.HasPrefix(r.URL.Path, "/destinations/")
}

// listTime limits how long a page waits for the list of destinations.
const listTime = 3 * time.Second

// listed returns the destinations, as the servers that send to them see them,
// and the partitions whose server has not answered.
func (s *server) listed(ctx context.Context) ([]listing.Row, []relay.Unanswered, error) {
	if s.destinations.Acting() {
		return listing.Of(s.destinations.List()), nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	var all struct {
		Destinations []listing.Row      `json:"destinations"`
		Unanswered   []relay.Unanswered `json:"unanswered"`
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+relay.Host+"/destinations", http.NoBody)
	if err == nil {
		err = relay.Ask(s.operate, r, &all)
	}
	if err != nil {
		return nil, nil, &trackway.Error{Code: trackway.Overloaded, Msg: "The server that sends to the destinations does not tell how they are: " + err.Error() + "."}
	}
	return all.Destinations, all.Unanswered, nil
}
