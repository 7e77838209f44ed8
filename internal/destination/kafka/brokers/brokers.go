// Package brokers reads the URL of a Kafka, and connects to it.
package brokers

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// defaultPort is the port of a broker whose address does not name one.
const defaultPort = "9092"

const (
	dialTimeout    = 10 * time.Second
	requestTimeout = 10 * time.Second // in addition to the time that a request itself may take
	retryTimeout   = 20 * time.Second // of requests that do not write
	metadataAge    = time.Second
)

// Options are the settings in a URL:
//
//	kafka[+tls]://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][?sasl=…&ca=…&partitions=…&replication=…]
type Options struct {
	Brokers        []string // host:port
	tls            bool
	ca             string // path of a PEM file; empty: the system's authorities
	user, password string
	sasl           string // plain, scram-sha-256 or scram-sha-512; empty without a user
	Partitions     int32  // of new topics; -1: the broker's default
	Replication    int16  // of new topics; -1: the broker's default
}

// Parse checks a URL. A user and a password that are not empty replace those in
// it. Its errors do not contain the URL, which may hold a password.
func Parse(address, user, password string) (Options, error) {
	o := Options{Partitions: -1, Replication: -1}
	scheme, rest, found := strings.Cut(address, "://")
	switch {
	case !found, scheme != "kafka" && scheme != "kafka+tls":
		return o, errors.New("the URL of Kafka is kafka://HOST:PORT,HOST:PORT or kafka+tls://HOST:PORT,HOST:PORT")
	case scheme == "kafka+tls":
		o.tls = true
	}
	authority, query, _ := strings.Cut(rest, "?")
	authority = strings.TrimSuffix(authority, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		name, secret, _ := strings.Cut(authority[:at], ":")
		authority = authority[at+1:]
		var err1, err2 error
		o.user, err1 = url.PathUnescape(name)
		o.password, err2 = url.PathUnescape(secret)
		if err1 != nil || err2 != nil {
			return o, errors.New("the user or password in the URL has a bad escape: write % as %25")
		}
	}
	if user != "" {
		o.user, o.password = user, password
	}
	for broker := range strings.SplitSeq(authority, ",") {
		one, err := brokerAddress(strings.TrimSpace(broker))
		if err != nil {
			return o, err
		}
		o.Brokers = append(o.Brokers, one)
	}
	return o, o.parseQuery(query)
}

func brokerAddress(broker string) (string, error) {
	host, port, err := net.SplitHostPort(broker)
	if err != nil { // no port, or not an address
		host, port = strings.Trim(broker, "[]"), defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, "/@ ") {
		return "", errors.New("a broker in the URL of Kafka is not HOST or HOST:PORT")
	}
	return net.JoinHostPort(host, port), nil
}

func (o *Options) parseQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the part of the URL of Kafka after ? cannot be read")
	}
	for name, value := range values {
		switch name {
		case "sasl":
			o.sasl = value[0]
		case "ca":
			o.ca = value[0]
		case "partitions":
			n, err := strconv.ParseInt(value[0], 10, 32)
			if err != nil || n < 1 {
				return errors.New("partitions in the URL of Kafka is not a number above 0")
			}
			o.Partitions = int32(n)
		case "replication":
			n, err := strconv.ParseInt(value[0], 10, 16)
			if err != nil || n < 1 {
				return errors.New("replication in the URL of Kafka is not a number above 0")
			}
			o.Replication = int16(n)
		default:
			return errors.New("the URL of Kafka may have sasl, ca, partitions and replication after ?, and nothing else")
		}
	}
	switch {
	case o.sasl != "" && o.user == "":
		return errors.New("sasl in the URL of Kafka needs a user")
	case o.ca != "" && !o.tls:
		return errors.New("ca in the URL of Kafka needs kafka+tls://")
	case o.user != "" && o.password == "":
		return errors.New("the user of Kafka needs a password")
	case o.sasl == "" && o.user != "":
		o.sasl = "scram-sha-512"
	}
	if o.user != "" && o.mechanism() == nil {
		return errors.New("sasl in the URL of Kafka is one of plain, scram-sha-256, scram-sha-512")
	}
	return nil
}

func (o *Options) mechanism() sasl.Mechanism {
	auth := scram.Auth{User: o.user, Pass: o.password}
	switch o.sasl {
	case "plain":
		return plain.Auth{User: o.user, Pass: o.password}.AsMechanism()
	case "scram-sha-256":
		return auth.AsSha256Mechanism()
	case "scram-sha-512":
		return auth.AsSha512Mechanism()
	}
	return nil
}

// Dial returns the options that every client needs to connect.
func (o *Options) Dial() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.ClientID("trackway"),
		kgo.SeedBrokers(o.Brokers...),
		kgo.DialTimeout(dialTimeout),
		kgo.RequestTimeoutOverhead(requestTimeout),
		kgo.RetryTimeout(retryTimeout),
		kgo.MetadataMinAge(metadataAge),
		kgo.DisableClientMetrics(),
	}
	if o.tls {
		c := &tls.Config{MinVersion: tls.VersionTLS12}
		if o.ca != "" {
			text, err := os.ReadFile(o.ca)
			if err != nil {
				return nil, fmt.Errorf("read the certificate authority of Kafka: %w", err)
			}
			c.RootCAs = x509.NewCertPool()
			if !c.RootCAs.AppendCertsFromPEM(text) {
				return nil, fmt.Errorf("%s has no certificate in PEM", o.ca)
			}
		}
		opts = append(opts, kgo.DialTLSConfig(c))
	}
	if m := o.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return opts, nil
}

// Clean returns err without the password, in case a library puts it there.
func (o *Options) Clean(err error) error {
	if err == nil || o.password == "" || !strings.Contains(err.Error(), o.password) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), o.password, "…"))
}
