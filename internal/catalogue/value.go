package catalogue

import (
	"bytes"
	"math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/iso8601"
)

// kind is the JSON type of a value.
type kind uint8

const (
	text kind = iota
	number
	boolean
	null
	object
	array
	kinds
)

var kindNames = [kinds]string{"string", "number", "boolean", "null", "object", "array"}

func kindOf(k canonjson.Kind) kind {
	switch k {
	case canonjson.String:
		return text
	case canonjson.Number:
		return number
	case canonjson.True, canonjson.False:
		return boolean
	case canonjson.Null:
		return null
	case canonjson.Object:
		return object
	}
	return array
}

// form is what a string looks like.
type form uint8

const (
	plain form = iota
	email
	phone
	person // words that begin with a capital letter, such as names
	moment // a day or a time
	link
	uuid
	forms
)

var formNames = [forms]string{"text", "e-mail addresses", "phone numbers", "names", "dates or times", "links", "UUIDs"}

// property is what is known of a property of a type.
type property struct {
	span

	Base  uint64                 // events of the type that were looked at before the first with the property
	Kinds [kinds]uint64          // values by type
	Began [kinds]trackway.Micros `json:",omitzero"` // the first value of each type; 0: when the property came
	Forms [forms]uint64          // strings by form
	Text  lengths                // characters of strings
	Whole lengths                // digits of numbers before the point
	Part  lengths                // digits of numbers after it

	values values
	judged bool // hidden is known
	hidden bool // no examples are kept, because of the name
}

// lengths are the lowest and the highest length, both 0 before the first.
type lengths struct {
	Least int `json:"least"`
	Most  int `json:"most"`
}

// with returns the lengths of some values and one more.
func (l lengths) with(n int, first bool) lengths {
	if first {
		return lengths{n, n}
	}
	return lengths{min(l.Least, n), max(l.Most, n)}
}

// add counts a value. It keeps no part of it.
func (p *property) add(v canonjson.Value, at trackway.Micros) {
	k := kindOf(v.Kind)
	first := p.Kinds[k] == 0
	if first {
		p.Began[k] = at
	}
	p.Kinds[k]++
	switch k {
	case text:
		s := v.Text()
		p.Text = p.Text.with(utf8.RuneCountInString(s), first)
		p.Forms[formOf(s)]++
	case number:
		whole, part, _ := bytes.Cut(bytes.TrimPrefix(v.Raw, []byte("-")), []byte("."))
		p.Whole = p.Whole.with(len(whole), first)
		p.Part = p.Part.with(len(part), first)
	default:
	}
}

// Lengths that a text of a form has.
const (
	uuidBytes   = 36
	leastDigits = 7 // of a phone number
	mostDigits  = 15
	leastTime   = len("2006-01-02")
	mostLooks   = 254 // bytes of a text that is looked at: the longest e-mail address
)

// formOf returns the form of a text. A longer text than [mostLooks] is plain.
func formOf(s string) form {
	if s == "" || len(s) > mostLooks {
		return plain
	}
	switch c := s[0]; {
	case strings.Contains(s, "@"):
		return email
	case strings.Contains(s, "://"):
		return link
	case len(s) == uuidBytes && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-':
		return uuid
	case c >= '0' && c <= '9' && len(s) >= leastTime && isTime(s):
		return moment
	case (c >= '0' && c <= '9' || c == '+' || c == '(') && isPhone(s):
		return phone
	case isPerson(s):
		return person
	}
	return plain
}

func isTime(s string) bool {
	_, ok := iso8601.Parse(s)
	return ok
}

func isPhone(s string) bool {
	n := digits(s)
	return n >= leastDigits && n <= mostDigits && strings.Trim(s, "0123456789 +-()./") == ""
}

// isPerson reports whether a text may be a name: it has words of letters, each
// with a capital one at the beginning and a small one later.
func isPerson(s string) bool {
	small, begins := false, true
	for _, r := range s {
		switch {
		case r == ' ' || r == '-' || r == '\'' || r == '.' || r == ',':
			begins = true
			continue
		case !unicode.IsLetter(r) || begins && unicode.IsLower(r):
			return false
		}
		small = small || !unicode.IsUpper(r)
		begins = false
	}
	return small
}

// Names of properties that say something about one person, or nothing about the
// type: parts of names, and whole words.
var (
	personalParts = []string{
		"mail", "phone", "mobile", "name", "street", "addr", "postal", "postcode", "birth", "gender", "health", "relig", "person", "user",
		"customer", "contact", "account", "iban", "passport", "passw", "token", "secret", "session", "cookie", "uuid", "guid",
		"latitude", "longitude", "comment", "message", "query", "search",
		"login", "author", "handle", "salary", "income", "diagnos", "disease", "licen", "employ", "telefon", "adr", "geburt",
	}
	personalWords = []string{"age", "sex", "zip", "city", "ip", "id", "key", "pin", "card", "lat", "lon", "lng", "gps", "dob", "tel", "note", "notes", "nick", "owner", "plate", "ssn", "bsn"}
)

// hides reports whether no examples of a property may be shown, because of its
// name. Ids often have no word of their own (orderid), so each name that ends
// like one is hidden.
func (r *rules) hides(name string) bool {
	lower := strings.ToLower(name)
	if r.hidden[lower] || strings.HasSuffix(lower, "id") {
		return true
	}
	if slices.ContainsFunc(personalParts, func(part string) bool { return strings.Contains(lower, part) }) {
		return true
	}
	return slices.ContainsFunc(wordsOf(name), func(word string) bool { return slices.Contains(personalWords, word) })
}

// wordsOf returns the words of a name, such as customer_age or customerAge, in
// lower case.
func wordsOf(name string) []string {
	var spaced strings.Builder
	small := false
	for _, r := range name {
		if small && unicode.IsUpper(r) {
			spaced.WriteByte(' ')
		}
		small = unicode.IsLower(r)
		if !unicode.IsLetter(r) {
			r = ' '
		}
		spaced.WriteRune(unicode.ToLower(r))
	}
	return strings.Fields(spaced.String())
}

// The values that may be shown.
const (
	mostExample = 32 // bytes
	mostSlashes = 1  // the later parts of a path are often about one person
	mostSpaces  = 2
	mostNumber  = 4 // bytes of a number, and digits of a string
)

// showable reports whether a value may be an example, once enough customers
// have it: a short number, or a short text like an identifier in a program. A
// text with both small and capital letters may be a name.
func showable(v canonjson.Value) bool {
	switch v.Kind {
	case canonjson.Number:
		return len(v.Raw) <= mostNumber
	case canonjson.String:
	default:
		return false
	}
	raw := v.Raw[1 : len(v.Raw)-1]
	var letters, capitals, spaces, slashes int
	for _, b := range raw {
		switch {
		case b >= 'a' && b <= 'z':
			letters++
		case b >= 'A' && b <= 'Z':
			letters++
			capitals++
		case b == ' ':
			spaces++
		case b == '/':
			slashes++
		case b >= '0' && b <= '9', strings.IndexByte("_-.:+", b) >= 0:
		default:
			return false
		}
	}
	return letters > 0 && len(raw) <= mostExample && spaces <= mostSpaces && slashes <= mostSlashes && digits(raw) <= mostNumber && (capitals == 0 || capitals == letters)
}

const (
	mostValues = 8  // of a property that may become examples
	enough     = 12 // customers who must have a value before it is shown
)

// values are the most frequent values of a property. Of a value that fewer than
// [enough] customers have, only a hash is kept, whose key is known to this
// process alone.
type values []candidate

type candidate struct {
	hash      uint64
	customers uint64 // a bit for the hash of each: there are at least as many as bits are set
	credit    int
	shown     string // JSON; empty: not enough customers have it
}

// note counts a value of a customer. A value that finds no room takes a credit
// from each of the others.
func (vs *values) note(hash, customer uint64, raw []byte) {
	for i := range *vs {
		v := &(*vs)[i]
		if v.hash != hash {
			continue
		}
		v.credit++
		if v.shown == "" {
			if v.customers |= 1 << (customer % 64); bits.OnesCount64(v.customers) >= enough {
				v.shown = string(raw)
			}
		}
		return
	}
	if len(*vs) < mostValues {
		if *vs == nil {
			*vs = make(values, 0, mostValues)
		}
		*vs = append(*vs, candidate{hash: hash, customers: 1 << (customer % 64), credit: 1})
		return
	}
	for i := range *vs {
		(*vs)[i].credit--
	}
	*vs = slices.DeleteFunc(*vs, func(v candidate) bool { return v.credit == 0 })
}

// examples returns the values that may be shown, the most frequent first.
func (vs *values) examples() []candidate {
	shown := slices.DeleteFunc(slices.Clone(*vs), func(v candidate) bool { return v.shown == "" })
	slices.SortStableFunc(shown, func(a, b candidate) int { return b.credit - a.credit })
	return shown
}
