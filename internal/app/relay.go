package app

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"trackway"
	"trackway/internal/control/relay"
	"trackway/internal/destination/listing"
	"trackway/internal/listen"
	"trackway/internal/log/raft/peer"
)

// Destinations are sent to by the leader only. The other servers pass on to it
// what operators ask.

// Reasons for not passing it on.
var (
	errNobodySends = errors.New("no server leads the cluster at the moment, so no destination is sent to: see trackway cluster status")
	errBegins      = errors.New("the server that leads the cluster does not send to destinations yet: try again in a moment")
)

// relayed returns the routes of the control socket of a member. It also serves
// other members, until the listener is closed.
func (s *server) relayed(ctx context.Context, h http.Handler) http.Handler {
	from := relay.NewListener()
	l := listen.Patient(ctx, from, s.operatorBounds(), s.Log)
	l.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !aboutDestinations(r):
			http.NotFound(w, r)
		case !s.destinations.Acting():
			relay.Refuse(w, errBegins.Error())
		default:
			relay.Believe(r)
			h.ServeHTTP(w, r)
		}
	}))
	s.others = l
	s.member.network.Handle(peer.Operate, 0, s.member.raft.Load().Self(), from.Take)
	forward := relay.Forward(relay.Transport(s.member.dialLeader))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if aboutDestinations(r) && !s.destinations.Acting() {
			relay.Tell(r)
			forward.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func aboutDestinations(r *http.Request) bool {
	return r.URL.Path == "/destinations" || strings.HasPrefix(r.URL.Path, "/destinations/")
}

// dialLeader connects to the server that leads, for what operators ask.
func (m *member) dialLeader(ctx context.Context) (net.Conn, error) {
	leader, known := m.raft.Load().Leader()
	switch {
	case !known:
		return nil, errNobodySends
	case leader.ID == m.raft.Load().Self():
		return nil, errBegins
	}
	return m.network.Dial(ctx, leader, peer.Operate, 0)
}

// listTime limits how long a page waits for the list of destinations.
const listTime = 3 * time.Second

// listed returns the destinations, as the server that sends to them sees them.
func (s *server) listed(ctx context.Context) ([]listing.Row, error) {
	if s.destinations.Acting() {
		return listing.Of(s.destinations.List()), nil
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	var all struct {
		Destinations []listing.Row `json:"destinations"`
		Error        string        `json:"error"`
	}
	err := func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+relay.Host+"/destinations", http.NoBody)
		if err != nil {
			return err
		}
		answer, err := relay.Transport(s.member.dialLeader).RoundTrip(r)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }() // it was read
		return json.NewDecoder(answer.Body).Decode(&all)
	}()
	if err == nil && all.Error != "" {
		err = errors.New(all.Error)
	}
	if err != nil {
		return nil, &trackway.Error{Code: trackway.Overloaded, Msg: "The server that sends to the destinations does not tell how they are: " + err.Error() + "."}
	}
	return all.Destinations, nil
}
