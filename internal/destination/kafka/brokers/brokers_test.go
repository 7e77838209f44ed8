package brokers

import (
	"reflect"
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		url  string
		want Options // without partitions and replication of -1
		err  string
	}{
		{"kafka://a", Options{Brokers: []string{"a:9092"}}, ""},
		{"kafka://a:1,b,[::1]:3/", Options{Brokers: []string{"a:1", "b:9092", "[::1]:3"}}, ""},
		{"kafka+tls://jo:p%40:x@a?sasl=plain&ca=/x.pem", Options{Brokers: []string{"a:9092"}, tls: true, user: "jo", password: "p@:x", sasl: "plain", ca: "/x.pem"}, ""},
		{"kafka://jo:x@a?partitions=6&replication=3", Options{Brokers: []string{"a:9092"}, user: "jo", password: "x", sasl: "scram-sha-512", Partitions: 6, Replication: 3}, ""},
		{"http://jo:secret@a", Options{}, "kafka://HOST"},
		{"kafka://", Options{}, "HOST or HOST:PORT"},
		{"kafka://a:secret", Options{}, "HOST or HOST:PORT"},
		{"kafka://a:0", Options{}, "HOST or HOST:PORT"},
		{"kafka://jo:%secret@a", Options{}, "escape"},
		{"kafka://jo@a", Options{}, "needs a password"},
		{"kafka://a?sasl=plain", Options{}, "needs a user"},
		{"kafka://jo:secret@a?sasl=gssapi", Options{}, "one of plain"},
		{"kafka://a?ca=x", Options{}, "kafka+tls"},
		{"kafka://a?partitions=secret", Options{}, "partitions"},
		{"kafka://a?replication=0", Options{}, "replication"},
		{"kafka://a?secret=1", Options{}, "nothing else"},
		{"kafka://a?%secret", Options{}, "cannot be read"},
	} {
		got, err := Parse(test.url, "", "")
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: the error is %v, want %q", test.url, err, test.err)
			}
			continue
		}
		if test.want.Partitions == 0 {
			test.want.Partitions, test.want.Replication = -1, -1
		}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v: %v", test.url, got, test.want, err)
		}
	}
}
