package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"trackway/internal/config/alarming"
	"trackway/internal/excerpt"
)

// mailer sends messages by SMTP (RFC 5321), always over TLS unless the server
// is on this host.
type mailer struct {
	to   alarming.Receiver
	host string
	tls  *tls.Config

	patience, scanTime time.Duration // the first until the server has a message, the second until it accepts it
}

// scanTime is how long a server may take to accept a message that it has: it
// may look for spam first. RFC 5321 section 4.5.3.2.6 allows ten minutes. If it
// got less, it would deliver this message and each repetition.
const scanTime = 5 * time.Minute

func newMailer(r *alarming.Receiver) (*mailer, error) {
	host, _, err := net.SplitHostPort(r.Server)
	if err != nil {
		return nil, errors.New("server must be host:port")
	}
	m := &mailer{*r, host, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}, patience, scanTime}
	if r.CA == "" {
		return m, nil
	}
	if m.tls.RootCAs, err = x509.SystemCertPool(); err != nil {
		m.tls.RootCAs = x509.NewCertPool()
	}
	text, err := os.ReadFile(r.CA)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if !m.tls.RootCAs.AppendCertsFromPEM(text) {
		return nil, errNoAuthorities
	}
	return m, nil
}

// send sends a message to all addresses at once.
func (m *mailer) send(ctx context.Context, msg *Message) error {
	ctx, extend, end := within(ctx, m.patience)
	defer end()
	tcp, err := new(net.Dialer).DialContext(ctx, "tcp", m.to.Server)
	if err != nil {
		return clean(ctx, "connect", err)
	}
	defer func() { _ = tcp.Close() }() // Quit has closed it, or the rest does not matter
	stop := context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var conn net.Conn = &bounded{Conn: tcp, left: mostReplies}
	if m.to.TLS == alarming.Implicit {
		conn = tls.Client(conn, m.tls)
	}
	c, err := smtp.NewClient(conn, m.host)
	if err != nil {
		return clean(ctx, "greeting", err)
	}
	if err := m.login(c); err != nil {
		return clean(ctx, "login", err)
	}
	refused, err := m.hand(c, msg, func() { extend(m.scanTime) })
	if err != nil {
		return clean(ctx, "sending", err)
	}
	_ = c.Quit() // the server has the message
	if refused != nil {
		return &partialError{refused}
	}
	return nil
}

// login begins TLS, unless it is already there, and logs in.
func (m *mailer) login(c *smtp.Client) error {
	_, domain, _ := strings.Cut(m.to.From, "@")
	if err := c.Hello(domain); err != nil {
		return err
	}
	if m.to.TLS == alarming.StartTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errNoStartTLS
		}
		if err := c.StartTLS(m.tls); err != nil {
			return err
		}
	}
	if m.to.User == "" {
		return nil
	}
	ok, mechanisms := c.Extension("AUTH")
	if !ok {
		return errNoLogin
	}
	if offered := strings.Fields(strings.ToUpper(mechanisms)); !slices.Contains(offered, "PLAIN") && slices.Contains(offered, "LOGIN") {
		return c.Auth(&loginAuth{m.to.User, m.to.Password})
	}
	return c.Auth(smtp.PlainAuth("", m.to.User, m.to.Password, m.host))
}

// hand hands a message over. It has arrived when the server has accepted the
// end of the data. An address that does not exist any more keeps no message
// from the others: refused says how many there are. It calls scans when the
// server has everything.
func (m *mailer) hand(c *smtp.Client, msg *Message, scans func()) (refused, err error) {
	if err := c.Mail(m.to.From); err != nil {
		return nil, err
	}
	bad := 0
	var last error
	for _, to := range m.to.To {
		if err := c.Rcpt(to); err != nil {
			if reply, ok := errors.AsType[*textproto.Error](err); !ok || reply.Code < 500 {
				return nil, err // it may be accepted later
			}
			bad, last = bad+1, err
		}
	}
	if bad == len(m.to.To) {
		return nil, last
	}
	w, err := c.Data()
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(m.text(msg)); err != nil {
		return nil, err
	}
	scans()
	if bad > 0 {
		refused = fmt.Errorf("sending: the server refuses %d of %d addresses in to", bad, len(m.to.To))
	}
	return refused, w.Close()
}

// text returns a message in the form of RFC 5322. Nothing in it can add a field
// to its header: the configuration's addresses have been checked, and the
// subject is one encoded line.
func (m *mailer) text(msg *Message) []byte {
	var b bytes.Buffer
	_, domain, _ := strings.Cut(m.to.From, "@")
	for _, field := range [][2]string{
		{"From", "<" + m.to.From + ">"},
		{"To", "<" + strings.Join(m.to.To, ">,\r\n <") + ">"}, // a line may have 998 bytes,
		{"Subject", mime.QEncoding.Encode("utf-8", oneLine(msg.headline()))},
		{"Date", msg.At.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000")},
		{"Message-ID", "<" + msg.id() + "." + strings.ToLower(rand.Text()[:8]) + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834: nobody's vacation answers it
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		b.WriteString(field[0] + ": " + field[1] + "\r\n")
	}
	b.WriteString("\r\n")
	body := quotedprintable.NewWriter(&b)
	_, _ = io.WriteString(body, strings.Join(msg.lines(), "\r\n\r\n")+"\r\n\r\n-- \r\nTrackway on "+oneLine(msg.Server)+"\r\n")
	_ = body.Close() // a buffer takes everything
	return b.Bytes()
}

var (
	errNoStartTLS = errors.New("the server does not offer STARTTLS: does it want tls: implicit?")
	errNoLogin    = errors.New("the server offers no login, but user and password are configured")
)

// loginAuth is the login that servers without PLAIN offer. It runs over TLS
// only, or on this host.
type loginAuth struct{ user, password string }

// Start implements [smtp.Auth].
func (a *loginAuth) Start(s *smtp.ServerInfo) (proto string, toServer []byte, err error) {
	if !s.TLS && s.Name != "localhost" && !strings.HasPrefix(s.Name, "127.") && s.Name != "::1" {
		return "", nil, errors.New("a password is not sent without TLS")
	}
	return "LOGIN", nil, nil
}

// Next implements [smtp.Auth].
func (a *loginAuth) Next(fromServer []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	switch prompt := strings.ToLower(string(fromServer)); {
	case strings.HasPrefix(prompt, "user"):
		return []byte(a.user), nil
	case strings.HasPrefix(prompt, "pass"):
		return []byte(a.password), nil
	}
	return nil, errors.New("the server asks for something else than a user and a password")
}

// mostReplies is how many bytes a server may send in all.
const mostReplies = 64 << 10

// bounded ends a connection to a server that talks without end.
type bounded struct {
	net.Conn

	left int
}

// Read implements [io.Reader].
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the server says too much")
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// withoutAddresses replaces the words of a server that may be addresses.
func withoutAddresses(text string) string {
	words := strings.Fields(oneLine(text))
	for i := range words {
		if strings.Contains(words[i], "@") {
			words[i] = "…"
		}
	}
	return strings.Join(words, " ")
}

// clean puts an error of the network or a server into words without addresses.
// It cuts the server's own words, and puts them on one line.
func clean(ctx context.Context, step string, err error) error {
	const most = 200
	var reply *textproto.Error
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var garbled textproto.ProtocolError
	var text string
	switch {
	case ctx.Err() != nil:
		text = context.Cause(ctx).Error()
	case errors.As(err, &reply):
		text = fmt.Sprintf("the server answers %d", reply.Code)
		if step != "login" { // whose answer may repeat what was sent
			text += " " + excerpt.Of(withoutAddresses(reply.Msg), most)
		}
	case errors.As(err, &dns):
		text = "the host name cannot be resolved"
	case errors.As(err, &certificate):
		text = "the server's certificate is not valid for it, or not trusted"
	case errors.As(err, &garbled): // whose text may repeat what was sent
		text = "the server's answer is not SMTP"
	case errors.As(err, &record):
		text = "the server does not speak TLS here: does it want tls: starttls?"
	case errors.Is(err, syscall.ECONNREFUSED):
		text = "the connection was refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		text = "the server has ended the connection"
	case errors.Is(err, errNoStartTLS), errors.Is(err, errNoLogin):
		text = err.Error()
	default:
		text = excerpt.Of(withoutAddresses(err.Error()), most)
	}
	return errors.New(step + ": " + text)
}
