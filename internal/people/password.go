package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"trackway"
)

// A password is kept as Argon2id in the usual text form, with the parameters
// that OWASP names first. They are the same for all users, so that no answer
// shows by its time whether a name exists. A check takes some 20 ms of one
// processor.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	threads = 1
	saltLen = 16
	sumLen  = 32
)

// The length of a password in characters. A hash that is slow to compute
// protects a shorter text than the SHA-256 of the one password does.
const (
	leastPassword  = 10
	mostPassword   = 256
	leastDifferent = 5
)

// CheckPassword returns why a text cannot be a new password, or nil.
func CheckPassword(name, password string) error {
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return refuse("password", "text in UTF-8: the pages cannot send anything else")
	case n < leastPassword || n > mostPassword:
		return refuse("password", fmt.Sprintf("%d to %d characters", leastPassword, mostPassword))
	case strings.EqualFold(password, name), different(password) < leastDifferent:
		return &trackway.Error{Code: trackway.Forbidden, Field: "password", Msg: fmt.Sprintf(
			"This password is too easy to guess: use at least %d different characters, and not the name.", leastDifferent)}
	}
	return nil
}

func different(text string) int {
	seen := make(map[rune]bool)
	for _, c := range text {
		seen[c] = true
	}
	return len(seen)
}

var (
	encoding = base64.RawStdEncoding
	form     = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, memory, passes, threads)
)

// Hash returns a password in the form in which it is kept.
func Hash(password string) string {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // it never fails
	return form + encoding.EncodeToString(salt) + "$" + encoding.EncodeToString(sum(password, salt))
}

func sum(password string, salt []byte) []byte {
	return argon2.IDKey([]byte(password), salt, passes, memory, threads, sumLen)
}

// parse reads what [Hash] returns.
func parse(hash string) (salt, want []byte, ok bool) {
	rest, ok := strings.CutPrefix(hash, form)
	first, second, both := strings.Cut(rest, "$")
	salt, errSalt := encoding.DecodeString(first)
	want, errSum := encoding.DecodeString(second)
	return salt, want, ok && both && errSalt == nil && errSum == nil && len(salt) == saltLen && len(want) == sumLen
}

// IsHash reports whether a text is a password in the form in which it is kept.
func IsHash(text string) bool {
	_, _, ok := parse(text)
	return ok
}

// Passwords hashes passwords, one at a time: it takes 19 MiB and a processor.
// Strangers wait in a lane of their own, and only the first of them waits with
// everybody else. So they cannot keep out those who sign in from an address
// from which somebody has signed in before. The zero value is ready to use.
type Passwords struct {
	strangers, all lane

	mu    sync.Mutex
	known []netip.Prefix // that signed in, the last one last
}

// lane lets one enter at a time.
type lane struct {
	turn    atomic.Pointer[chan struct{}]
	waiting atomic.Int32
}

// Limits on those who wait in a lane, and on the addresses that are known.
const (
	mostWaiting = 32
	mostKnown   = 256
)

var errBusy = &trackway.Error{Code: trackway.Overloaded, Msg: "Too many people sign in at the moment. Try again."}

// enter waits for a turn. The caller ends it by leave.
func (l *lane) enter(ctx context.Context) (leave func(), err error) {
	fresh := make(chan struct{}, 1)
	l.turn.CompareAndSwap(nil, &fresh)
	if l.waiting.Add(1) > mostWaiting {
		l.waiting.Add(-1)
		return nil, errBusy
	}
	turn := *l.turn.Load()
	select {
	case turn <- struct{}{}:
		return func() {
			<-turn
			l.waiting.Add(-1)
		}, nil
	case <-ctx.Done():
		l.waiting.Add(-1)
		return nil, errBusy
	}
}

// use calls do when it is its turn.
func (p *Passwords) use(ctx context.Context, known bool, do func()) error {
	if !known {
		leave, err := p.strangers.enter(ctx)
		if err != nil {
			return err
		}
		defer leave()
	}
	leave, err := p.all.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	do()
	return nil
}

// network returns an address as it is known: an IPv6 address by its /64.
func network(from netip.Addr) netip.Prefix {
	const host, site = 32, 64
	bits := site
	if from = from.Unmap(); from.Is4() {
		bits = host
	}
	of, _ := from.WithZone("").Prefix(bits) // zero for an address that is unknown
	return of
}

func (p *Passwords) knows(from netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.known, network(from))
}

func (p *Passwords) know(from netip.Addr) {
	of := network(from)
	if !of.IsValid() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = append(slices.DeleteFunc(p.known, func(o netip.Prefix) bool { return o == of }), of)
	p.known = p.known[max(0, len(p.known)-mostKnown):]
}

// Hash is [Hash], when it is its turn. It is for those who are signed in.
func (p *Passwords) Hash(ctx context.Context, password string) (hash string, err error) {
	err = p.use(ctx, true, func() { hash = Hash(password) })
	return hash, err
}

// Check returns the user with a name and a password, or nil. It takes as long
// if there is no user of that name, or if the user has no password. from is the
// caller's address; invalid if it is unknown.
func (p *Passwords) Check(ctx context.Context, users List, from netip.Addr, name, password string) (found *User, err error) {
	if utf8.RuneCountInString(password) > mostPassword {
		return nil, nil // its length is no secret
	}
	u := users.Find(strings.ToLower(name))
	salt, want, known := make([]byte, saltLen), make([]byte, sumLen), false
	if u != nil {
		if s, w, ok := parse(u.Password); ok {
			salt, want, known = s, w, true
		}
	}
	err = p.use(ctx, p.knows(from), func() {
		if same := subtle.ConstantTimeCompare(sum(password, salt), want) == 1; same && known {
			found = u
		}
	})
	if found != nil {
		p.know(from)
	}
	return found, err
}
