// Package shop makes up what the visitors of a shop do. A few customers come
// much more often than most, and each visitor does several things in a row.
package shop

import (
	"fmt"
	"math/rand/v2"
)

// Shop makes events. It is for one goroutine.
type Shop struct {
	r         *rand.Rand
	customers int
	visitor   int // whose visit it is
	left      int // events of that visit
}

// New returns a shop. Shops of the same seed make the same events.
func New(seed uint64, customers int) *Shop {
	return &Shop{r: rand.New(rand.NewPCG(seed, 2)), customers: customers}
}

// Regular returns the cookie of a customer who comes often. They have 34 times
// as many events as customers have on average.
func (s *Shop) Regular() string { return fmt.Sprintf(cookie, s.r.IntN(regulars(s.customers))) }

// regulars is how many of the customers come often.
func regulars(customers int) int { return max(customers/50, 1) }

const cookie = "%08x-4782-47ae-ba14-df6e29eefb36"

var types = []string{"page_visit", "view_item", "cart_update", "purchase", "search"}

// AppendCommand appends an event of about 600 bytes as a command of a batch,
// which is also a row of an import. The time is in microseconds since 1970.
func (s *Shop) AppendCommand(b []byte, micros int64) []byte {
	r := s.r
	if s.left--; s.left < 0 {
		s.left = 4
		if s.visitor = r.IntN(s.customers); r.IntN(3) > 0 { // one in fifty comes a hundred times as often as the others
			s.visitor = r.IntN(regulars(s.customers))
		}
	}
	item := r.IntN(40_000)
	return fmt.Appendf(b, `{"name":"customers/events","data":{"customer_ids":{"cookie":"`+cookie+`"},`+
		`"event_type":"%s","timestamp":%d.%06d,"properties":{"browser":"Chrome %d","campaign":"autumn-%d",`+
		`"category":"Shoes > Running > Trail %d","currency":"EUR","item_id":"sku-%06d","language":"de-DE","os":"Android %d","price":%d.90,`+
		`"referrer":"https://www.example.org/search?q=%x","session":"%016x","title":"Trail running shoe %d, waterproof, with a sole for wet rock",`+
		`"url":"https://shop.example/p/%06d?utm_source=newsletter&utm_medium=email","viewport":"%dx%d"}}}`,
		s.visitor, types[r.IntN(len(types))], micros/1e6, micros%1e6, 120+r.IntN(22), r.IntN(30), item%300, item, 9+r.IntN(7), item%200,
		r.IntN(1<<24), r.Uint64(), item, item, 360+r.IntN(80), 700+r.IntN(250))
}
