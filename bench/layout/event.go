package main

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// event is one made-up event of a web shop. Person is who did it; the store gives it a customer number when it is first seen.
type event struct {
	person   uint64
	time     uint64 // microseconds since the epoch: when it happened
	received uint64 // microseconds since the epoch: when the server got it
	typ      string
	props    []byte // a JSON object, members sorted, about 450 bytes
}

const (
	startMicros   = 1_793_491_200_000_000 // 2026-11-01
	microsBetween = 20_000                // 50 events a second: 20 million are 4.6 days
	resendEvery   = 256                   // one event in so many is the copy of an earlier one, which the store has to notice
	resendBehind  = 100
	products      = 20_000
	crowded       = 2_000 // the busiest 1/2000 of the persons share their load evenly, else the first would hold 1 % of all events
)

// random is splitmix64: a stream that is a pure function of its seed, so that any event can be made again.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *random) below(n uint64) uint64 { return r.next() % n }

func (r *random) unit() float64 { return float64(r.next()>>11) / (1 << 53) }

// resent tells whether event i repeats an earlier one.
func resent(i uint64) bool { return i%resendEvery == resendEvery-1 }

// personOf says who does event i. The share of events falls with a person's rank: of 20 million events over a million persons
// 1.7 % of the persons have 100 or more, half have 10 or fewer.
func personOf(i, persons uint64) (uint64, random) {
	if resent(i) {
		i -= resendBehind
	}
	r := random(i * 0x2545f4914f6cdd1d)
	u := r.unit()
	x := u * u * u
	if x < 1.0/crowded {
		x = r.unit() / crowded
	}
	return uint64(x * float64(persons)), r
}

// fill makes event i, reusing e's memory.
func (e *event) fill(i, persons uint64) {
	var r random
	e.person, r = personOf(i, persons)
	e.received = startMicros + i*microsBetween + r.below(microsBetween)
	if resent(i) {
		i -= resendBehind
	}
	e.time = startMicros + i*microsBetween - r.below(3_000_000)
	p := props{b: append(e.props[:0], '{'), r: &r, who: random(e.person * 0x9e6c63d0676a9a99), session: i >> 20}
	e.typ = p.write()
	e.props = append(p.b[:len(p.b)-1], '}')
}

// hash is the last part of the key: what tells two events of one customer at one time apart.
func (e *event) hash() uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(e.typ)
	_, _ = d.Write(e.props)
	return d.Sum64()
}

// appendCookie appends a person's soft identifier.
func appendCookie(b []byte, person uint64) []byte {
	r := random(person * 0x9e6c63d0676a9a99)
	return appendUUID(b, r.next(), r.next())
}

func appendUUID(b []byte, hi, lo uint64) []byte {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], hi)
	binary.BigEndian.PutUint64(raw[8:], lo)
	for i, group := range [][]byte{raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, group)
	}
	return b
}

// props writes the properties of one event. What belongs to the device (who) is the same in all events of a person, what
// belongs to the visit (session) is the same for a while, the rest (r) is new each time.
type props struct {
	b       []byte
	r       *random
	who     random
	session uint64
}

func (p *props) write() string {
	switch n := p.r.below(100); {
	case n < 45:
		p.page()
		return "page_visit"
	case n < 75:
		p.item("view")
		return "view_item"
	case n < 85:
		p.item("add")
		return "cart_update"
	case n < 93:
		p.search()
		return "search"
	case n < 97:
		p.purchase()
		return "purchase"
	default:
		p.banner()
		return "banner"
	}
}

func (p *props) str(name, value string) {
	p.b = append(append(append(append(p.b, '"'), name...), `":"`...), value...)
	p.b = append(p.b, `",`...)
}

func (p *props) num(name string, value uint64) {
	p.b = strconv.AppendUint(append(append(append(p.b, '"'), name...), `":`...), value, 10)
	p.b = append(p.b, ',')
}

func (p *props) money(name string, cents uint64) {
	p.num(name, cents/100)
	p.b = append(p.b[:len(p.b)-1], '.', byte('0'+cents/10%10), byte('1'+cents%9), ',')
}

// device writes what the SDK adds to each event: four fifths of an event's entropy come from here.
func (p *props) device() {
	who := p.who
	hi, lo := who.next(), who.next()
	p.str("browser", pick(&who, browsers))
	p.b = append(p.b, `"cookie":"`...)
	p.b = append(appendUUID(p.b, hi, lo), `",`...)
	p.str("device", pick(&who, devices))
	p.b = append(p.b, `"ip":"`...)
	for i := range 4 {
		p.b = strconv.AppendUint(p.b, 1+who.below(254), 10)
		if i < 3 {
			p.b = append(p.b, '.')
		}
	}
	p.b = append(p.b, `",`...)
	p.str("language", pick(&who, languages))
	p.str("os", pick(&who, systems))
	session := random(uint64(who) + p.session)
	p.b = append(p.b, `"session_id":"`...)
	p.b = append(appendUUID(p.b, session.next(), session.next()), `",`...)
}

func (p *props) product() uint64 {
	u := p.r.unit()
	return uint64(u * u * products)
}

func (p *props) page() {
	p.device()
	n := p.product()
	p.url("location", n, true)
	p.num("page_load_ms", 200+p.r.below(4000))
	p.url("referrer", p.product(), false)
	p.num("scroll_depth", p.r.below(101))
	p.str("title", pick(p.r, words)+" "+pick(p.r, words)+" | Example Shop")
	p.num("viewport_height", 500+p.r.below(40)*20)
	p.num("viewport_width", 320+p.r.below(60)*20)
}

func (p *props) item(action string) {
	n := p.product()
	of := random(n)
	p.str("action", action)
	p.str("brand", pick(&of, brands))
	p.str("category", pick(&of, words)+" / "+pick(&of, words))
	p.str("currency", "EUR")
	p.device()
	p.num("discount_percent", of.below(8)*5)
	p.num("item_id", 100_000+n)
	p.url("location", n, true)
	p.money("price", 199+of.below(30_000))
	p.num("stock", p.r.below(200))
	p.str("title", pick(&of, brands)+" "+pick(&of, words)+" "+pick(&of, colours))
	p.str("variant", pick(p.r, colours)+" "+strconv.FormatUint(34+p.r.below(14), 10))
}

func (p *props) search() {
	p.device()
	p.str("location", "https://www.shop.example.com/search")
	p.str("query", pick(p.r, words)+" "+pick(p.r, colours)+" "+pick(p.r, words))
	p.num("results", p.r.below(400))
	p.str("sort", pick(p.r, []string{"relevance", "price_asc", "price_desc", "newest"}))
	p.num("took_ms", 5+p.r.below(300))
}

func (p *props) purchase() {
	p.str("currency", "EUR")
	p.device()
	p.b = append(p.b, `"items":[`...)
	for range 1 + p.r.below(4) {
		n := p.product()
		of := random(n)
		p.b = append(p.b, '{')
		p.num("item_id", 100_000+n)
		p.money("price", 199+of.below(30_000))
		p.num("quantity", 1+p.r.below(3))
		p.b = append(p.b[:len(p.b)-1], '}', ',')
	}
	p.b = append(p.b[:len(p.b)-1], ']', ',')
	p.num("order_id", 4_000_000+p.r.below(4_000_000))
	p.str("payment", pick(p.r, []string{"card", "bank_transfer", "cash_on_delivery", "paypal"}))
	p.money("total_price", 500+p.r.below(90_000))
	p.str("voucher", pick(p.r, []string{"", "", "", "AUTUMN26", "WELCOME10"}))
}

func (p *props) banner() {
	p.str("action", pick(p.r, []string{"show", "show", "show", "click", "close"}))
	id := p.r.below(60)
	p.num("banner_id", 7000+id)
	p.str("banner_name", pick(&[]random{random(id)}[0], words)+" autumn campaign")
	p.device()
	p.url("location", p.product(), true)
	p.str("variant", pick(p.r, []string{"A", "B", "Control group"}))
}

func (p *props) url(name string, product uint64, query bool) {
	of := random(product)
	brand, word := pick(&of, brands), pick(&of, words)
	p.b = append(append(p.b, '"'), name...)
	p.b = append(p.b, `":"https://www.shop.example.com/`...)
	p.b = append(append(append(append(p.b, word...), '/'), brand...), '-')
	p.b = strconv.AppendUint(p.b, 100_000+product, 10)
	if query && p.r.below(4) == 0 {
		p.b = append(append(p.b, "?utm_source="...), pick(p.r, []string{"newsletter", "google", "instagram"})...)
		p.b = strconv.AppendUint(append(p.b, "&utm_campaign=w"...), 30+p.r.below(20), 10)
	}
	p.b = append(p.b, `",`...)
}

func pick(r *random, from []string) string { return from[r.below(uint64(len(from)))] }

var (
	browsers = []string{
		"Chrome 142.0.7444.60", "Chrome 141.0.7390.122", "Safari 26.1", "Safari 18.6", "Firefox 144.0", "Edge 142.0.3595.53",
		"Samsung Internet 29.0", "Opera 123.0.5669.19",
	}
	devices   = []string{"iPhone", "Samsung SM-S931B", "Pixel 10", "desktop", "desktop", "desktop", "iPad", "Xiaomi 2412DPC0AG"}
	systems   = []string{"iOS 26.1", "Android 16", "Android 15", "Windows 11", "Windows 10", "macOS 26.1", "Linux"}
	languages = []string{"sk-SK", "cs-CZ", "de-DE", "en-GB", "en-US", "hu-HU", "pl-PL"}
	brands    = []string{
		"nordvik", "altera", "luminor", "tatrabike", "kestrel", "orava", "brightwood", "solenne", "pikolo", "hestia", "vantage", "moravan",
	}
	colours = []string{"black", "white", "navy", "forest green", "sand", "burgundy", "grey melange", "sky blue", "coral", "mustard"}
	words   = []string{
		"shoes", "running", "jackets", "kitchen", "lamps", "garden", "bicycles", "toys", "books", "bedding", "cosmetics", "backpacks",
		"watches", "headphones", "tents", "coffee", "dresses", "shirts", "sofas", "tools",
	}
)
