package afar

import (
	"encoding/gob"
	"io"
	"net/http"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/partition/stores"
	"trackway/internal/query"
)

// Path is the beginning of the paths of questions.
const Path = "/held/"

// question is what another server asks about a partition.
type question struct {
	Part           int
	Project        string // its token
	Range          query.CountRange
	After, Through uint64
	Customer       trackway.Customer
}

// piece is a part of an answer.
type piece[T any] struct {
	All    []T
	End    bool   // it is the last one
	Failed string // why there are no more
}

// state is how far a holder is.
type state struct {
	Synced   uint64
	Versions map[string]change.Version // of the data of projects, by token
}

type day struct {
	Day   query.Day
	Usage query.Usage
}

type current struct {
	Customer trackway.Customer
	IDs      []trackway.Identifier
}

// item is a change. Its project is named.
type item struct {
	change.Change

	Project string
}

// sized is how many elements are sent together.
const sized = 500

const maxQuestion = 64 << 10 // bytes

// Handler answers what other servers ask about the partitions that this one
// holds. holds reports whether it does, and has what the others have.
func Handler(of *stores.Set, holds func(part int) bool) http.Handler {
	mux := http.NewServeMux()
	for path, do := range map[string]func(*holder){
		"state": (*holder).state, "usage": (*holder).usage, "counts": (*holder).counts, "named": (*holder).named,
		"follow": (*holder).follow, "changes": (*holder).changes, "back": (*holder).back, "current": (*holder).current,
	} {
		mux.HandleFunc("POST "+Path+path, func(w http.ResponseWriter, r *http.Request) {
			h := &holder{of: of, w: w, r: r, out: gob.NewEncoder(w)}
			if gob.NewDecoder(io.LimitReader(r.Body, maxQuestion)).Decode(&h.question) != nil || h.Part < 0 || h.Part >= of.Len() {
				http.Error(w, "a member asks about a partition", http.StatusBadRequest)
				return
			}
			if !holds(h.Part) {
				http.Error(w, "another server holds it", http.StatusServiceUnavailable)
				return
			}
			h.number = of.Number(h.Project)
			h.feed = of.Feeds()[h.Part]
			do(h)
		})
	}
	return mux
}

// holder answers one question.
type holder struct {
	question

	of     *stores.Set
	w      http.ResponseWriter
	r      *http.Request
	out    *gob.Encoder
	number uint32 // of the project
	feed   stores.Feed
}

func (h *holder) send(v any) bool { return h.out.Encode(v) == nil } // else the other has gone

func (h *holder) state() {
	s := state{Synced: h.feed.Synced(), Versions: map[string]change.Version{}}
	for token, number := range h.of.Named(h.Part) {
		s.Versions[token] = h.of.Version(number)
	}
	h.send(&s)
}

// gathered sends elements in pieces of at most so many, and then the end.
func gathered[T any](h *holder, most int, each func(yield func(T) bool) error) {
	var p piece[T]
	err := each(func(one T) bool {
		p.All = append(p.All, one)
		if len(p.All) < most {
			return true
		}
		sent := h.send(&p)
		p.All = p.All[:0]
		return sent && h.r.Context().Err() == nil
	})
	if p.End = true; err != nil {
		p.Failed = err.Error()
	}
	h.send(&p)
}

// counting calls do with a snapshot.
func (h *holder) counting(do func(query.Snapshot) error) error {
	s := h.of.Snapshot()
	defer func() { _ = s.Close() }() // it was only read
	return do(s)
}

func (h *holder) usage() {
	gathered(h, sized, func(yield func(day) bool) error {
		return h.counting(func(s query.Snapshot) error {
			return s.Usage(h.number, func(d query.Day, u query.Usage) bool { return yield(day{d, u}) })
		})
	})
}

func (h *holder) counts() {
	gathered(h, sized, func(yield func(query.Count) bool) error {
		return h.counting(func(s query.Snapshot) error { return s.Counts(h.number, h.Range, yield) })
	})
}

func (h *holder) named() {
	var is bool
	_ = h.counting(func(s query.Snapshot) error {
		is = s.CountedByName(h.number, h.Range.Type)
		return nil
	})
	h.send(&is)
}

// follow sends changes as they become durable.
func (h *holder) follow() {
	control := http.NewResponseController(h.w)
	h.After = min(h.After, h.feed.Synced())
	if !h.send(&piece[item]{}) || control.Flush() != nil { // tells the other that it is answered
		return
	}
	for some, err := range h.feed.Follow(h.r.Context(), h.After) {
		p := piece[item]{All: h.items(some)}
		if err != nil {
			p.Failed = err.Error()
		}
		if !h.send(&p) || control.Flush() != nil || err != nil {
			return
		}
	}
}

func (h *holder) changes() {
	gathered(h, sized, func(yield func(item) bool) error {
		for some, err := range h.feed.Changes(h.After, h.Through) {
			if err != nil {
				return err
			}
			for _, it := range h.items(some) {
				if !yield(it) {
					return nil
				}
			}
		}
		return nil
	})
}

// backAtOnce is how many events are sent together to a server that looks back:
// it may want a few only.
const backAtOnce = 50

func (h *holder) back() {
	gathered(h, backAtOnce, func(yield func(item) bool) error {
		return h.feed.Back(min(h.Through, h.feed.Synced()), func(e *trackway.Event) bool {
			own := *e
			own.Properties = append([]byte{}, e.Properties...)
			return yield(item{change.Change{Number: e.Seq, Event: &own}, h.of.Token(e.Project)})
		})
	})
}

func (h *holder) current() {
	c, ids, err := h.feed.Current(h.number, h.Customer)
	if err != nil {
		http.Error(h.w, "it cannot be read", http.StatusInternalServerError)
		return
	}
	h.send(&current{c, ids})
}

// items returns changes with the names of their projects.
func (h *holder) items(some []change.Change) []item {
	all := make([]item, len(some))
	for i := range some {
		all[i] = item{some[i], h.of.Token(some[i].Project)}
		all[i].Err = nil // a text of this server's own
	}
	return all
}

var _ stores.Elsewhere = (*Part)(nil)
