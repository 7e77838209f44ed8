package canonjson

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// scanned scans a whole text, as the decoders do.
func scanned(text []byte) (Value, *Scanner) {
	s := Scan(text)
	v := s.Value()
	s.End()
	return v, &s
}

// appendCanonical appends valid JSON in canonical form.
func appendCanonical(dst, raw []byte) []byte {
	var w writer
	return w.write(dst, raw)
}

func TestScannerStrictness(t *testing.T) {
	t.Parallel()
	valid := []string{
		`{}`, `[]`, ` [ ] `, "\t\r\n{\n}", `0`, `-0`, `-0.0e-0`, `1E+9`, `10.25`, `true`, `false`, `null`, `""`, `"é😀"`, `"\u00e9\ud83d\ude00\uFFFF"`,
		// Unpaired surrogates.
		`"\ud800"`, `"\ud800\u0041"`, `"\ud800x"`, `"\ud83d\ud83d"`, `"\ude00"`, `"\ude00\ud83d"`,
		"\"\x7f\u2028\"", `"\"\\\/\b\f\n\r\t"`, `[1,"a",{"b":[]},null]`, `{"":{"":""}}`, `{"a":1,"a":2}`, `"0123456789abcdef\n0123456789abcdeé"`,
	}
	for _, text := range valid {
		if v, s := scanned([]byte(text)); s.bad || string(v.Raw) != strings.Trim(text, " \t\r\n") {
			t.Errorf("%q: got %q, bad: %t", text, v.Raw, s.bad)
		}
	}
	invalid := []string{
		``, ` `, `01`, `-`, `+1`, `.5`, `1.`, `1e`, `1e+`, `0x10`, `1_0`, `NaN`, `Infinity`, `-Infinity`, `True`, `nul`, `nulll`, `tru e`,
		`"`, `"a`, `"\`, `"\x"`, `"\u12"`, `"\u12G4"`, `"\ud800\u00"`, `"\ud800\"`, `'a'`,
		"\"\x00\"", "\"\x1f\"", "\"\n\"", "\"\t\"", "\"12345678\x1f\"", "\"\x80\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "\"1234567\xff\"",
		"\ufeff{}", "\u00a0{}", "\v1", "\x00", "1\x00", `[`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `[1}`, `]`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`,
		`{"a":1,}`, `{,}`, `{"a" 1}`, `{"a":1 "b":2}`, `{a:1}`, `{1:1}`, `{"a":}`, `{"a":1]`, `{}}`, `1 2`, `{} x`, `[]//`, `/**/[]`, "{\"\n\":1}",
	}
	for _, text := range invalid {
		if v, s := scanned([]byte(text)); !s.bad {
			t.Errorf("%q: got %q, bad: %t", text, v.Raw, s.bad)
		}
	}
}

// The scanner reads a string in words of eight bytes. It has to see each
// special byte at each place of a word, whatever the bytes around it are.
func TestScannerSeesSpecialBytesEverywhere(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		special := c < ' ' || c == '"' || c == '\\' || c >= 0x80
		for _, filler := range []byte{' ', '!', '#', '[', ']', 'a', 0x7f} {
			for at := range 20 {
				b := bytes.Repeat([]byte{filler}, 20)
				b[at] = byte(c)
				want := len(b)
				if special {
					want = at
				}
				if got := plainEnd(b, 0); got != want {
					t.Fatalf("byte %#x at %d among %q: got %d, want %d", c, at, filler, got, want)
				}
			}
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, want string }{
		{`1`, `1`},
		{`-1.50e+07`, `-1.50e+07`},
		{` "a" `, `"a"`},
		{`"\u00e9\/\u0022\u005c\u0008\u000C\u000a\u000D\u0009\u001F\u0000\u007f\uD83D\uDE00"`, "\"é/\\\"\\\\\\b\\f\\n\\r\\t\\u001f\\u0000\x7f😀\""},
		{`"a\ud83d"`, "\"a\ufffd\""},
		{`"\ude00\u0041\ud83d\ud83d\ude00\ud800x"`, "\"\ufffdA\ufffd😀\ufffdx\""},
		{`{"\ud83d":1,"\ude00":2}`, "{\"\ufffd\":2}"},
		{`"\/\"\\\b\f\n\r\t"`, `"/\"\\\b\f\n\r\t"`},
		{`[ 1 , [ ] , { } ]`, `[1,[],{}]`},
		{`{"b":1,"a":2}`, `{"a":2,"b":1}`},
		{`{"b":{"y":1,"x":[{"d":1,"c":1}]},"a":2}`, `{"a":2,"b":{"x":[{"c":1,"d":1}],"y":1}}`},
		{`{"a":1,"a":2}`, `{"a":2}`},
		{`{"a":1,"b":0,"\u0061":{"z":1,"z":[]}}`, `{"a":{"z":[]},"b":0}`},
		{`{"abcdefgh2":1,"abcdefgh1":2,"abcdefgh":3,"abcdefg":4,"":5,"abcdefgh1":6}`, `{"":5,"abcdefg":4,"abcdefgh":3,"abcdefgh1":6,"abcdefgh2":1}`},
		{`{"a\u0000":1,"a":2}`, `{"a":2,"a\u0000":1}`},
		{`{"\uff5e":1,"\ud83d\ude00":2,"é":3}`, `{"é":3,"～":1,"😀":2}`},
	}
	for _, test := range tests {
		v, s := scanned([]byte(test.text))
		if s.bad {
			t.Fatalf("%s is not taken for JSON", test.text)
		}
		if got := string(appendCanonical(nil, v.Raw)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.text, got, test.want)
		}
		if v.Canonical && string(v.Raw) != test.want {
			t.Errorf("%s is taken for canonical", test.text)
		}
		// Escapes of this form are rewritten to themselves.
		if v, _ := scanned([]byte(test.want)); !v.Canonical && !strings.Contains(test.want, `\u`) {
			t.Errorf("%s is not taken for canonical", test.want)
		}
	}
}

// Many members are sorted by a different algorithm from few.
func TestSortedMembers(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, Usual, Usual + 1, 500} {
		var text, want []string
		for i := range n {
			name := string([]rune{'a' + rune(i*7919%n), 'é'})
			text = append(text, `"`+name+`": 0`)
			want = append(want, `"`+name+`":1`)
		}
		all := strings.Join(text, ",") + "," + strings.ReplaceAll(strings.Join(text, ","), ": 0", ": 1")
		slices.Sort(want)
		if got := string(appendCanonical(nil, []byte("{"+all+"}"))); got != "{"+strings.Join(want, ",")+"}" {
			t.Errorf("%d members: got %s", n, got)
		}
	}
}

// TestOrderOfEscapedNames checks that names are ordered by their unescaped
// form.
func TestOrderOfEscapedNames(t *testing.T) {
	t.Parallel()
	names := []string{"", "\x00", "\x00b", "\n", "!", "\"", "\"a", "#", "\\", "\\\"", "]", "a", "a\"", "a\"b", "a#", "é", "é\"", "é#", "è", "è\\", "\uffff", "😀"}
	var object []string
	for i, name := range names {
		object = append(object, strconv.Quote("k")+":"+strconv.Itoa(i), string(AppendString(nil, name))+":"+strconv.Itoa(i))
	}
	for range names { // each rotation of them
		object = append(object[1:], object[0])
		text := []byte("{" + strings.Join(object, ",") + "}")
		tree, _, err := reference(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(appendCanonical(nil, text)), string(tree.append(nil)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSplitObject(t *testing.T) {
	t.Parallel()
	for _, object := range []string{`{}`, `{"a":1}`, `{"":null,"a\"b":"x","é":{"b":[1,2]}}`} {
		if got := string(AppendObject(nil, SplitObject([]byte(object)))); got != object {
			t.Errorf("got %s, want %s", got, object)
		}
	}
	if got := SplitObject(nil); got != nil {
		t.Errorf("nothing: got %v", got)
	}
	for _, bad := range []string{`[]`, `{"a":1`, `{} ` + `x`} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", bad)
				}
			}()
			SplitObject([]byte(bad))
		}()
	}
}

// FuzzScanner compares the scanner with jsontext: both accept the same texts,
// and the canonical form equals the output of a tree of jsontext's tokens.
func FuzzScanner(f *testing.F) {
	for _, text := range []string{
		`{"b":[1, 2.50, -0e+1],"a":{"y":"\u00e9\/","x":null,"y":true}}`, `"\ud83d\ude00 \u0022\u001f"`, "[\"\xff\"]", `{"\ud83d":"\ude00\ud83d"}`, `01`, `{"a":1,}`, ` [] x`,
		`{"customer_ids": {"registered":"jane.doe@example.com"},"event_type":"view_item","timestamp":1762000001.523114,"properties":{"item_id": "sku-0019284","price":129.95,"category":["shoes", "trail"],"device":{"width":1080,"id":"a0f3"}}}`,
		`{"\"":1,"\\":2,"!":3,"\u0001":4,"é\n":5,"è":6,"b":{"\"":1,"!":2}}`,
		strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100), strings.Repeat(`[`, 101) + strings.Repeat(`]`, 101),
		strings.Repeat(`{"b":0,"a":`, 150) + `[1,"x",{}]` + strings.Repeat(`}`, 150), strings.Repeat(`[{"":[[]],"a":`, 99),
		strings.Repeat(`9`, 64), `-0.` + strings.Repeat(`9`, 64), `[1e308,1e309,-1.8e308]`, `[5e-324,1e-400,1e-401]`, `1e99999999999999999999`,
	} {
		f.Add([]byte(text))
	}
	requests, _ := os.ReadFile("../../../shared/fixtures/clients.jsonl") // absent: no seeds
	for line := range bytes.Lines(requests) {
		var r struct{ Body string }
		if err := json.Unmarshal(line, &r); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(r.Body))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, s := scanned(text)
		if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > 9_999 {
			t.Skip("jsontext takes no more levels")
		}
		tree, beyond, err := reference(text)
		if (err == nil) == s.bad {
			t.Fatalf("bad: %t, jsontext says %v", s.bad, err)
		}
		if err != nil {
			return
		}
		if beyond != (s.fault != None) {
			t.Errorf("got fault %d, beyond a bound: %t", s.fault, beyond)
		}
		if beyond {
			return
		}
		got := appendCanonical(nil, v.Raw)
		if want := tree.append(nil); !bytes.Equal(got, want) {
			t.Errorf("got canonical form %s, want %s", got, want)
		}
		if len(got) > len(text) {
			t.Errorf("the canonical form is longer")
		}
		if v.Canonical && !bytes.Equal(v.Raw, got) {
			t.Errorf("taken for canonical, but is not")
		}
		again, s := scanned(got)
		if s.bad || !bytes.Equal(appendCanonical(nil, again.Raw), got) {
			t.Errorf("the canonical form of %s is another", got)
		}
	})
}

// tree is a JSON value as the reference sees it: a scalar's token, or an
// object's members, or an array's elements.
type tree struct {
	token    jsontext.Token
	members  map[string]tree
	elements []tree
}

// reference reads a text by jsontext's tokens, and reports whether it exceeds a
// bound.
func reference(text []byte) (v tree, beyond bool, err error) {
	if !utf8.Valid(text) {
		return tree{}, false, errors.New("not in UTF-8")
	}
	// jsontext treats unpaired surrogates as invalid UTF-8.
	d := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if v, err = referenceValue(d, MaxDepth, &beyond); err != nil {
		return tree{}, false, err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return tree{}, false, errors.New("trailing text")
	}
	return v, beyond, nil
}

// referenceValue reads a value that may have the given number of levels, and
// notes if it exceeds a bound.
func referenceValue(d *jsontext.Decoder, levels int, beyond *bool) (tree, error) {
	token, err := d.ReadToken()
	if err != nil {
		return tree{}, err
	}
	v := tree{token: token.Clone()}
	switch token.Kind() {
	case '{', '[':
		levels--
		*beyond = *beyond || levels < 0
	case '0':
		*beyond = *beyond || beyondBounds(token.String())
	}
	switch token.Kind() {
	case '{':
		v.members = map[string]tree{}
		sent := 0 // including those of the same name
		for d.PeekKind() != '}' {
			name, err := d.ReadToken()
			if err != nil {
				return tree{}, err
			}
			key := name.String()
			if v.members[key], err = referenceValue(d, levels, beyond); err != nil {
				return tree{}, err
			}
			if sent++; sent > MaxMembers {
				*beyond = true
			}
		}
		_, err = d.ReadToken()
	case '[':
		for d.PeekKind() != ']' {
			element, err := referenceValue(d, levels, beyond)
			if err != nil {
				return tree{}, err
			}
			v.elements = append(v.elements, element)
		}
		_, err = d.ReadToken()
	}
	return v, err
}

// beyondBounds reports whether a number exceeds a bound, using package strconv.
func beyondBounds(number string) bool {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	digits := len(strings.NewReplacer("-", "", ".", "").Replace(mantissa))
	e, err := strconv.Atoi(cmp.Or(exponent, "0"))
	double, _ := strconv.ParseFloat(number, 64) // infinite if it is too large
	return digits > MaxDigits || err != nil || max(e, -e) > MaxExponent || math.IsInf(double, 0)
}

func (v tree) append(dst []byte) []byte {
	switch v.token.Kind() {
	case '{':
		dst = append(dst, '{')
		for i, name := range slices.Sorted(maps.Keys(v.members)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst, _ = jsontext.AppendQuote(dst, name) // valid UTF-8: it was read
			dst = v.members[name].append(append(dst, ':'))
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		for i, element := range v.elements {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = element.append(dst)
		}
		return append(dst, ']')
	case '"':
		dst, _ = jsontext.AppendQuote(dst, v.token.String())
		return dst
	default:
		return append(dst, v.token.String()...)
	}
}
