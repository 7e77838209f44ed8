package ask

import (
	"net/url"
	"testing"
	"time"

	"trackway"
)

// TestInstant parses queries as they come in a URL, where a plus sign that was
// not escaped means a space.
func TestInstant(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"since=1704103200":                      "2024-01-01T10:00:00Z",
		"since=1704103200.25":                   "2024-01-01T10:00:00.25Z",
		"since=2024-01-01":                      "2024-01-01T00:00:00Z",
		"since=2024-01-01T10:00Z":               "2024-01-01T10:00:00Z",
		"since=20240101T100000Z":                "2024-01-01T10:00:00Z",
		"since=2024-01-01+10:00:00+UTC":         "2024-01-01T10:00:00Z",
		"since=2024-01-01%2010:00:00":           "2024-01-01T10:00:00Z",
		"since=2024-01-01T12:00:00%2B02:00":     "2024-01-01T10:00:00Z",
		"since=2024-01-01T12:00:00+02:00":       "2024-01-01T10:00:00Z",
		"since=2024-01-01%2012:00:00+0200":      "2024-01-01T10:00:00Z",
		"since=2024-01-01+12:00:00+%2B0200":     "2024-01-01T10:00:00Z",
		"since=2024-01-01%2012:00:00%20%2B0200": "2024-01-01T10:00:00Z",
		"since=2024-01-01+12:00:00++0200":       "2024-01-01T10:00:00Z",
		"since=2024-01-01T08:00:00-02":          "2024-01-01T10:00:00Z",
	} {
		at, err := time.Parse(time.RFC3339Nano, want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := instantOf(t, query); err != nil || got != trackway.MicrosOf(at) {
			t.Errorf("%s: got %v, error %v; want %s", query, got.Time(), err, want)
		}
	}
	for _, query := range []string{
		"since=", "since=+", "since=1.", "since=-1", "since=1.1234567", "since=yesterday", "since=2024-02-30", "since=2024-01-01+02:60", "since=1969-12-31",
		"since=2201-01-01", "since=2024-W01-1", "since=2024-01-01T10:00:00+Z+", "since=20240101T",
	} {
		if got, err := instantOf(t, query); err == nil {
			t.Errorf("%s: got %v", query, got.Time())
		}
	}
}

func instantOf(t *testing.T, query string) (trackway.Micros, error) {
	t.Helper()
	values, err := Parse(query, "since")
	if err != nil {
		t.Fatal(err)
	}
	return Instant(values, "since", 0)
}

func TestInstantAbsent(t *testing.T) {
	t.Parallel()
	if got, err := Instant(url.Values{}, "since", 7); got != 7 || err != nil {
		t.Errorf("got %d, error %v", got, err)
	}
}
