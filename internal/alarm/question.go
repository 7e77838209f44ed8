package alarm

import (
	"net/url"
	"strconv"

	"trackway/internal/ask"
)

// Question says what to simulate. Zero values are those of the rules in force.
type Question struct {
	Weeks   int    // of the past that are replayed
	Percent uint32 // instead of each rule's own
	Least   uint32
	Against uint32 // weeks that an hour is compared with
}

// MostWeeks is how many weeks can be replayed.
const MostWeeks = 52

const (
	usualReplay = 8 // weeks
	mostAgainst = 12
	mostPercent = 100
	mostLeast   = 1_000_000_000
)

// ReadQuestion reads a question from the query of a URL.
func ReadQuestion(query url.Values) (q Question, err error) {
	if q.Weeks, err = ask.Number(query, "weeks", usualReplay, MostWeeks); err != nil {
		return q, err
	}
	for _, x := range q.numbers() {
		n, err := ask.Number(query, x.name, 0, x.most)
		if err != nil {
			return q, err
		}
		*x.to = uint32(n)
	}
	return q, nil
}

// Query returns the question as the query of a URL.
func (q *Question) Query() url.Values {
	query := url.Values{"weeks": {strconv.Itoa(q.Weeks)}}
	for _, x := range q.numbers() {
		if *x.to > 0 {
			query.Set(x.name, strconv.FormatUint(uint64(*x.to), 10))
		}
	}
	return query
}

type number struct {
	name string
	most int
	to   *uint32
}

func (q *Question) numbers() []number {
	return []number{{"percent", mostPercent, &q.Percent}, {"least", mostLeast, &q.Least}, {"against", mostAgainst, &q.Against}}
}
