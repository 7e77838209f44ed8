package notify

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trackway/internal/config/alarming"
)

// postOffice is a small mail server (RFC 5321), with TLS (RFC 3207, RFC 8314)
// and logins (RFC 4954).
type postOffice struct {
	net.Listener

	tls      *tls.Config
	implicit bool
	logins   string        // that it offers
	refuse   string        // the command that it refuses, with 451
	silent   func()        // called for a connection to which it says nothing; nil: it speaks
	gone     string        // the addresses that it does not know, with 550
	garbled  bool          // it answers a login by repeating it
	scans    time.Duration // until it accepts a message

	mu   sync.Mutex
	mail []string
	seen []string // commands
}

const password = "p4ssw0rd-of-mail"

func newPostOffice(t *testing.T, change func(*postOffice)) (o *postOffice, r *alarming.Receiver) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	certificate, ca := newCA(t)
	o = &postOffice{Listener: ln, tls: &tls.Config{Certificates: []tls.Certificate{certificate}}, logins: "PLAIN LOGIN"}
	change(o)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { o.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); serving.Wait() })
	r = &alarming.Receiver{
		Name: "post", Kind: alarming.Mail, Server: ln.Addr().String(), TLS: alarming.StartTLS, CA: ca, User: "u", Password: password,
		From: "trackway@example.com", To: []string{"a@example.com", "b@example.com"},
	}
	if o.implicit {
		r.TLS = alarming.Implicit
	}
	return o, r
}

// received returns the messages that have arrived.
func (o *postOffice) received() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.mail)
}

// newCA returns a certificate for 127.0.0.1, and the file of its authority.
func newCA(t *testing.T) (certificate tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func (o *postOffice) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if o.silent != nil {
		o.silent()
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	secure := o.implicit
	if secure {
		conn = tls.Server(conn, o.tls)
	}
	lines := bufio.NewReader(conn)
	say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	read := func() string {
		line, err := lines.ReadString('\n')
		if err != nil {
			return ""
		}
		return strings.TrimRight(line, "\r\n")
	}
	say("220 post ESMTP")
	for {
		line := read()
		verb, rest, _ := strings.Cut(line, " ")
		o.mu.Lock()
		o.seen = append(o.seen, verb)
		o.mu.Unlock()
		switch {
		case line == "":
			return
		case verb == "RCPT" && o.gone != "" && strings.Contains(o.gone, line[len("RCPT TO:"):]):
			say("550 5.1.1 nobody here")
		case verb == "AUTH" && o.garbled:
			say(rest)
		case verb == o.refuse:
			say("451 4.3.0 try later, <a@example.com>")
		case verb == "EHLO":
			say("250-post")
			if !secure {
				say("250-STARTTLS")
			}
			if o.logins != "" {
				say("250-AUTH " + o.logins)
			}
			say("250 HELP")
		case verb == "STARTTLS":
			say("220 go")
			server := tls.Server(conn, o.tls)
			conn, secure, lines = server, true, bufio.NewReader(server)
		case verb == "AUTH":
			if !secure || !o.login(rest, say, read) {
				say("535 5.7.8 wrong " + rest)
				continue
			}
			say("235 welcome")
		case verb == "DATA":
			say("354 go")
			var text strings.Builder
			for line := read(); line != "."; line = read() {
				text.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
			}
			o.mu.Lock()
			o.mail = append(o.mail, text.String())
			o.mu.Unlock()
			<-time.After(o.scans)
			say("250 taken")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

// login reports whether a client logs in as u.
func (o *postOffice) login(rest string, say func(string), read func() string) bool {
	mechanism, text, _ := strings.Cut(rest, " ")
	if mechanism == "PLAIN" {
		return text == encoded("\x00u\x00"+password)
	}
	say("334 " + encoded("Username:"))
	user := read()
	say("334 " + encoded("Password:"))
	return user == encoded("u") && read() == encoded(password)
}

// A message arrives over each way of TLS and with each login.
func TestMail(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*postOffice){
		"STARTTLS":     func(*postOffice) {},
		"implicit TLS": func(o *postOffice) { o.implicit = true },
		"LOGIN only":   func(o *postOffice) { o.logins = "LOGIN XOAUTH2" },
	} {
		o, r := newPostOffice(t, change)
		m := message(ringing("shop / größe\r\nBcc: evil@example.com\r\n\r\n.\r\nMAIL"), ringing(strings.Repeat("long ", 300)))
		m.Notices = m.Notices[:1]
		m.Notices[0].Text = "Nothing came.\r\n.\r\nQUIT"
		if err := send(t, r, m); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := o.received()
		if len(got) != 1 {
			t.Fatalf("%s: got %q", name, got)
		}
		parsed, err := mail.ReadMessage(strings.NewReader(got[0]))
		if err != nil {
			t.Fatalf("%s: got %q, %v", name, got, err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
		if err != nil || subject != "[Trackway ts1] Silence: shop / größe  Bcc: evil@example.com    .  MAIL" {
			t.Errorf("%s: got subject %q, %v", name, subject, err)
		}
		if parsed.Header.Get("Bcc") != "" || parsed.Header.Get("To") != "<a@example.com>, <b@example.com>" || parsed.Header.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("%s: got %v", name, parsed.Header)
		}
		if _, err := parsed.Header.Date(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
		if err != nil || !strings.Contains(string(body), "Nothing came.  .  QUIT Since 2026-11-29 12:00 UTC.") {
			t.Errorf("%s: got %q, %v", name, body, err)
		}
		for line := range strings.SplitSeq(got[0], "\r\n") {
			if len(line) > 998 {
				t.Errorf("%s: a line has %d bytes", name, len(line))
			}
		}
	}
}

// A server that scans a message for long gets it once. One that never accepts
// it is given up.
func TestMailScanned(t *testing.T) {
	t.Parallel()
	o, r := newPostOffice(t, func(o *postOffice) { o.scans = 3 * time.Second })
	m, err := newMailer(r)
	if err != nil {
		t.Fatal(err)
	}
	m.patience = 2 * time.Second
	if err := m.send(t.Context(), message(ringing("shop"))); err != nil || len(o.received()) != 1 {
		t.Errorf("got %v, %d messages", err, len(o.received()))
	}
	m.scanTime = 100 * time.Millisecond
	if err := m.send(t.Context(), message(ringing("shop"))); err == nil || err.Error() != "sending: no answer within 100ms" {
		t.Errorf("got %v", err)
	}
}

// Errors are clear, and contain neither a password nor an address. Nothing is
// sent in plain text, or to somebody else.
func TestMailErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		office func(*postOffice)
		change func(*alarming.Receiver)
		want   string
	}{
		"unknown authority":    {func(*postOffice) {}, func(r *alarming.Receiver) { r.CA = "" }, "login: the server's certificate is not valid for it, or not trusted"},
		"wrong password":       {func(*postOffice) {}, func(r *alarming.Receiver) { r.Password += "x" }, "login: the server answers 535"},
		"no STARTTLS":          {func(o *postOffice) { o.refuse = "STARTTLS" }, func(*alarming.Receiver) {}, "login: the server answers 451"},
		"implicit, not spoken": {func(*postOffice) {}, func(r *alarming.Receiver) { r.TLS = alarming.Implicit }, "greeting: the server does not speak TLS here"},
		"refused":              {func(o *postOffice) { o.refuse = "RCPT" }, func(*alarming.Receiver) {}, "sending: the server answers 451 4.3.0 try later, …"},
		"garbled":              {func(o *postOffice) { o.garbled = true }, func(*alarming.Receiver) {}, "login: the server's answer is not SMTP"},
		"nobody there":         {func(o *postOffice) { o.gone = "<a@example.com><b@example.com>" }, func(*alarming.Receiver) {}, "sending: the server answers 550"},
		"no login offered":     {func(o *postOffice) { o.logins = "" }, func(*alarming.Receiver) {}, "login: the server offers no login"},
		"down":                 {func(o *postOffice) { _ = o.Close() }, func(*alarming.Receiver) {}, "connect: the connection was refused"},
	} {
		o, r := newPostOffice(t, c.office)
		c.change(r)
		err := send(t, r, message(ringing("shop")))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
			continue
		}
		if text := err.Error(); strings.Contains(text, password) || strings.Contains(text, encoded(password)) || strings.Contains(text, "@") || strings.Contains(text, "127.0.0.1") {
			t.Errorf("%s: the error says too much: %s", name, text)
		}
		if len(o.received()) > 0 {
			t.Errorf("%s: something arrived", name)
		}
	}
}

// An address that does not exist any more keeps no message from the others, and
// none is sent twice.
func TestMailGone(t *testing.T) {
	t.Parallel()
	o, r := newPostOffice(t, func(o *postOffice) { o.gone = "<a@example.com>" })
	w, err := open(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = "sending: the server refuses 1 of 2 addresses in to"
	l := &line{Receiver: *r, way: w}
	pause := l.attempt(t.Context(), message(ringing("shop")), slog.New(slog.DiscardHandler))
	if pause != 0 || len(o.received()) != 1 || l.problem != want {
		t.Errorf("got %q, %d messages, and another attempt in %v", l.problem, len(o.received()), pause)
	}
}

// Each line of the header is short enough, however many addresses there are.
func TestMailManyAddresses(t *testing.T) {
	t.Parallel()
	m := mailer{to: alarming.Receiver{From: "trackway@example.com"}}
	for range 20 {
		m.to.To = append(m.to.To, strings.Repeat("a", 60)+"@example.com")
	}
	text := string(m.text(message(ringing("shop"))))
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > 998 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
	parsed, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if all, err := parsed.Header.AddressList("To"); err != nil || len(all) != 20 {
		t.Errorf("got %v, %v", all, err)
	}
}

// A server that says nothing does not hold up the sender.
func TestMailSilent(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const waits = 50 * time.Millisecond
	_, r := newPostOffice(t, func(o *postOffice) { o.silent = func() { time.AfterFunc(waits, cancel) } })
	w, err := open(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.send(ctx, message(ringing("shop"))); err == nil || !strings.HasPrefix(err.Error(), "greeting: ") {
		t.Errorf("got %v", err)
	}
	r.CA = filepath.Join(t.TempDir(), "none")
	if _, err := open(r); err == nil || !strings.HasPrefix(err.Error(), "ca: ") {
		t.Errorf("got %v", err)
	}
}
