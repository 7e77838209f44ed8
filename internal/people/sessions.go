package people

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Limits on sessions. The one that was used least recently ends to make room.
const (
	mostSessions = 1000
	mostOfUser   = 20
)

// Session is a user who is signed in.
type Session struct {
	ID      string // names the session in lists; it lets nobody in
	User    string // the user's name
	Key     string // the user's key
	Since   time.Time
	Expires time.Time
	Seen    time.Time  // when it was last used
	Address netip.Addr // from where it was last used; invalid if that is unknown

	Ended <-chan struct{} // closed when the session ends early
}

// Sessions are those of a server. They are in memory only: a restart ends them.
// They are safe for concurrent use. The zero value has none.
type Sessions struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*session // by the hash of the token
}

type session struct {
	Session

	stamp   string // of the user
	vouched *User  // the user, if a provider vouches for it
	end     chan struct{}
}

// Begin begins a session of a user, which lasts for a given time, and returns
// its token.
func (s *Sessions) Begin(u *User, from netip.Addr, now time.Time, lasts time.Duration) (token string, started Session) {
	token = rand.Text()
	end := make(chan struct{})
	made := &session{Session{
		ID: rand.Text()[:10], User: u.Name, Key: u.Key(), Since: now, Expires: now.Add(lasts).Truncate(time.Second), Seen: now, Address: from, Ended: end,
	}, u.Stamp(), nil, end}
	if u.Account != nil {
		made.vouched = u
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[[sha256.Size]byte]*session)
	}
	s.endLocked(func(o *session) bool { return !now.Before(o.Expires) })
	s.makeRoomLocked(mostSessions, func(*session) bool { return true })
	s.makeRoomLocked(mostOfUser, func(o *session) bool { return o.Key == made.Key })
	s.all[sha256.Sum256([]byte(token))] = made
	return token, made.Session
}

// makeRoomLocked ends sessions of some until there are fewer than most.
func (s *Sessions) makeRoomLocked(most int, some func(*session) bool) {
	var oldest *session
	n := 0
	for _, o := range s.all {
		if some(o) {
			n++
			if oldest == nil || o.Seen.Before(oldest.Seen) {
				oldest = o
			}
		}
	}
	if n >= most {
		s.endLocked(func(o *session) bool { return o == oldest })
	}
}

// Find returns the session with a token and its user: one of users, or an
// account under the terms. It notes when and from where the session was used. A
// session ends if the password or the roles of its user are no longer the same,
// if there is no such user, or if an account's terms are others. Terms are
// empty if there is no provider.
func (s *Sessions) Find(token string, users List, terms string, from netip.Addr, now time.Time) (found Session, user *User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.all[sha256.Sum256([]byte(token))]
	if o == nil {
		return Session{}, nil
	}
	if user = o.user(users, terms); user == nil || !now.Before(o.Expires) {
		s.endLocked(func(other *session) bool { return other == o })
		return Session{}, nil
	}
	o.Seen, o.Address = now, from
	return o.Session, user
}

// user returns the user of a session, or nil if the session no longer holds.
func (o *session) user(users List, terms string) *User {
	u := o.vouched
	if u == nil {
		u = users.Find(o.User)
	} else if u.Account.Terms != terms {
		return nil
	}
	if u == nil || u.Stamp() != o.stamp {
		return nil
	}
	return u
}

// Keep ends the sessions that no longer hold with these users and terms.
func (s *Sessions) Keep(users List, terms string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(func(o *session) bool { return o.user(users, terms) == nil })
}

// End ends the sessions that a function chooses, and returns how many.
func (s *Sessions) End(which func(*Session) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endLocked(func(o *session) bool { return which(&o.Session) })
}

func (s *Sessions) endLocked(which func(*session) bool) (ended int) {
	for key, o := range s.all {
		if which(o) {
			delete(s.all, key)
			close(o.end)
			ended++
		}
	}
	return ended
}

// List returns the sessions that a function chooses, by user, the one that was
// used last first.
func (s *Sessions) List(now time.Time, which func(*Session) bool) []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []Session{}
	for _, o := range s.all {
		if now.Before(o.Expires) && which(&o.Session) {
			list = append(list, o.Session)
		}
	}
	slices.SortFunc(list, func(a, b Session) int {
		return cmp.Or(cmp.Compare(a.User, b.User), b.Seen.Compare(a.Seen), cmp.Compare(a.ID, b.ID))
	})
	return list
}
