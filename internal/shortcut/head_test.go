package shortcut

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const prefix = "/track/"

var settings = &Config{Prefixes: []string{prefix}, MaxBody: maxBody}

// post returns a plain request with additional fields and a body.
func post(fields, body string) string {
	return "POST /track/v2/x/customers/events HTTP/1.1\r\nHost: a.example:8080\r\n" + fields + "Content-Length: " + length(body) + "\r\n\r\n" + body
}

func length(body string) string {
	return strings.TrimLeft(string([]byte{byte('0' + len(body)/10), byte('0' + len(body)%10)}), "0")
}

// TestHead checks which heads are understood, and which of them are plain.
func TestHead(t *testing.T) {
	t.Parallel()
	const refused, understood, plain = "not understood", "understood", "plain"
	get := func(fields string) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" }
	target := func(s string) string { return "POST " + s + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" }
	begun := func(size int) string {
		return fmt.Sprintf("POST /track/a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\nxx", size)
	}
	tests := map[string]struct{ text, want string }{
		"plain":                  {post("", "{}"), plain},
		"fields":                 {post("authorization: Token x\r\nX-A:  \tb c\t \r\nX-Empty:\r\nConnection: Keep-Alive\r\n", "{}"), plain},
		"a part of the body":     {strings.TrimSuffix(post("", "{  }"), "}"), plain},
		"a letter of the body":   {strings.TrimSuffix(post("", "{}"), "}"), understood},
		"the largest body":       {begun(maxBody), plain},
		"a larger body":          {begun(maxBody + 1), understood},
		"encoded":                {post("content-ENCODING: gzip\r\n", "{}"), understood},
		"get":                    {get(""), understood},
		"query":                  {target("/track/a?b=c"), understood},
		"escaped":                {target("/track/a%20b"), understood},
		"dots":                   {target("/track/../a"), understood},
		"slashes":                {target("/track//a"), understood},
		"elsewhere":              {target("/data/a"), understood},
		"no body":                {"POST /track/a HTTP/1.1\r\nHost: a\r\n\r\n", understood},
		"empty body":             {"POST /track/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", understood},
		"nothing":                {"", refused},
		"cut off in the target":  {"POST /track/a", refused},
		"cut off in a name":      {"POST /track/a HTTP/1.1\r\nHo", refused},
		"cut off in a value":     {"POST /track/a HTTP/1.1\r\nHost: a", refused},
		"cut off before the end": {"POST /track/a HTTP/1.1\r\nHost: a\r\n", refused},
		"cut off in the end":     {"POST /track/a HTTP/1.1\r\nHost: a\r\n\r", refused},
		"no host":                {"GET / HTTP/1.1\r\n\r\n", refused},
		"two hosts":              {get("host: b\r\n"), refused},
		"a bad host":             {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", refused},
		"http/1.0":               {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", refused},
		"http/2":                 {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused},
		"tls":                    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", refused},
		"absolute":               {target("http://a/track/a"), refused},
		"asterisk":               {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", refused},
		"connect":                {"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", refused},
		"two spaces":             {target(" /track/a"), refused},
		"only LF":                {"GET / HTTP/1.1\nHost: a\n\n", refused},
		"LF in between":          {get("X: a\n"), refused},
		"CR in a value":          {get("X: a\rb\r\n"), refused},
		"NUL in a value":         {get("X: a\x00\r\n"), refused},
		"not ASCII":              {get("X: ä\r\n"), refused},
		"folded":                 {get("X: a\r\n b\r\n"), refused},
		"space before the colon": {get("X : a\r\n"), refused},
		"no name":                {get(": a\r\n"), refused},
		"no colon":               {get("X\r\n"), refused},
		"chunked":                {post("Transfer-Encoding: chunked\r\n", "{}"), refused},
		"chunked, oddly":         {post("TRANSFER-encoding : chunked\r\n", "{}"), refused},
		"two lengths":            {post("content-length: 2\r\n", "{}"), refused},
		"two lengths, one empty": {post("content-length: 0\r\n", "{}"), refused},
		"a signed length":        {get("Content-Length: +1\r\n"), refused},
		"a length of hex":        {get("Content-Length: 0x1\r\n"), refused},
		"a list of lengths":      {get("Content-Length: 1, 1\r\n"), refused},
		"a length with zeros":    {get("Content-Length: 01\r\n"), refused},
		"a huge length":          {get("Content-Length: 99999999999999999999\r\n"), refused},
		"no length":              {get("Content-Length:\r\n"), refused},
		"close":                  {post("Connection: close\r\n", "{}"), refused},
		"upgrade":                {post("connection: keep-alive, Upgrade\r\n", "{}"), refused},
		"upgrade to":             {post("Upgrade: h2c\r\n", "{}"), refused},
		"expect":                 {post("EXPECT: 100-continue\r\n", "{}"), refused},
		"trailer":                {post("Trailer: X\r\n", "{}"), refused},
		"pragma":                 {post("Pragma: no-cache\r\n", "{}"), refused},
		"as many fields":         {post(strings.Repeat("X: a\r\n", maxFields-2), "{}"), plain},
		"too many fields":        {post(strings.Repeat("X: a\r\n", maxFields-1), "{}"), refused},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := refused
			var h head
			if b := []byte(test.text); h.parse(b) {
				got = understood
				if h.isPlain(b, settings) {
					got = plain
				}
				compare(t, &h, b)
			}
			if got != test.want {
				t.Errorf("%q is %s, want %s", test.text, got, test.want)
			}
		})
	}
}

// compare fails unless net/http reads the same request from b as an understood
// head, or h has understood nothing.
func compare(t *testing.T, h *head, b []byte) {
	t.Helper()
	plain := h.isPlain(b, settings)
	in := bytes.NewReader(b)
	r := bufio.NewReader(in)
	want, err := http.ReadRequest(r)
	if err != nil {
		if plain {
			t.Errorf("net/http does not read %q: %v", b, err)
		}
		return
	}
	if read := len(b) - in.Len() - r.Buffered(); read != h.size {
		t.Errorf("of %q, net/http reads %d bytes as the head, not %d", b, read, h.size)
	}
	if want.ContentLength != h.length || len(want.TransferEncoding) > 0 || want.Close {
		t.Errorf("%q: net/http expects %d bytes, not %d, and closes: %v", b, want.ContentLength, h.length, want.Close)
	}
	if !plain || h.left(b) != 0 {
		return
	}
	x := &exchange{head: *h, header: make(http.Header), conn: &conn{base: new(http.Request{Method: http.MethodPost})}}
	x.prepare(b)
	got := &x.req
	if got.Method != want.Method || got.RequestURI != want.RequestURI || got.Host != want.Host || got.ContentLength != want.ContentLength {
		t.Errorf("%q: got %+v, want %+v", b, got, want)
	}
	want.Header.Del("Host")
	if diff := cmp.Diff(want.Header, got.Header); diff != "" {
		t.Errorf("%q: fields (-want): %s", b, diff)
	}
	if diff := cmp.Diff(want.URL, got.URL); diff != "" {
		t.Errorf("%q: address (-want): %s", b, diff)
	}
	wantBody, _ := io.ReadAll(want.Body)
	if gotBody, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(gotBody, wantBody) {
		t.Errorf("%q: body %q, %v, want %q", b, gotBody, err, wantBody)
	}
}

// FuzzHead checks that net/http reads understood heads in the same way.
func FuzzHead(f *testing.F) {
	for _, seed := range []string{
		post("", "{}"), post("X-A: b\r\nx-a:  c \r\nConnection: keep-alive\r\n", "{}"),
		"GET /a?b=%20 HTTP/1.1\r\nHost: [::1]:80\r\nAccept: */*\r\n\r\n", post("Transfer-Encoding: chunked\r\n", "{}"),
		"POST /track/a HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h head
		if h.parse(b) {
			compare(t, &h, b)
		}
	})
}
