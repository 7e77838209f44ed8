package iso8601

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/allocs"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2018-8-5 12:20:25":            "2018-08-05T12:20:25Z",
		"2018-8-5T12:20:25.555Z":       "2018-08-05T12:20:25.555Z",
		"2018-08-05T9:20:25":           "2018-08-05T09:20:25Z",
		"2018-08-05T9:20":              "2018-08-05T09:20:00Z",
		"2021-08-16T13:03:00.000001Z":  "2021-08-16T13:03:00.000001Z",
		"2021-08-16t13:03:00.0000015z": "2021-08-16T13:03:00.000002Z",
		"2021-08-16T13:03:59.9999999Z": "2021-08-16T13:04:00Z",
		"2021-08-16T13:03:00.25-0730":  "2021-08-16T20:33:00.25Z",
		"2021-08-16 13:03:00.25+02":    "2021-08-16T11:03:00.25Z",
		"2021-08-16T13:03:00-00:00":    "2021-08-16T13:03:00Z",
		"2024-02-29 00:00:00":          "2024-02-29T00:00:00Z",

		"2024-01-01T10:00Z":            "2024-01-01T10:00:00Z",
		"2024-01-01T10:00":             "2024-01-01T10:00:00Z",
		"2024-01-01T10Z":               "2024-01-01T10:00:00Z",
		"2024-01-01T10":                "2024-01-01T10:00:00Z",
		"2024-01-01T10:00+02:00":       "2024-01-01T08:00:00Z",
		"20240101T100000Z":             "2024-01-01T10:00:00Z",
		"20240101T1000Z":               "2024-01-01T10:00:00Z",
		"20240101T10+0200":             "2024-01-01T08:00:00Z",
		"20240101T100000.125+02":       "2024-01-01T08:00:00.125Z",
		"20240101 100000":              "2024-01-01T10:00:00Z",
		"20240101T10:00:00Z":           "2024-01-01T10:00:00Z",
		"2024-01-01T100000Z":           "2024-01-01T10:00:00Z",
		"2024-01-01 10:00:00 UTC":      "2024-01-01T10:00:00Z",
		"2024-01-01 10:00:00 utc":      "2024-01-01T10:00:00Z",
		"2024-01-01T10:00:00UTC":       "2024-01-01T10:00:00Z",
		"2024-01-01 10:00:00 Z":        "2024-01-01T10:00:00Z",
		"2024-01-01 12:00:00 +0200":    "2024-01-01T10:00:00Z",
		"2024-01-01 12:00:00 +02:00":   "2024-01-01T10:00:00Z",
		"2024-01-01 12:00 -0200":       "2024-01-01T14:00:00Z",
		"2024-01-01T10:00:00,5Z":       "2024-01-01T10:00:00.5Z",
		"2024-01-01T10:00:00,123456":   "2024-01-01T10:00:00.123456Z",
		"2024-01-01":                   "2024-01-01T00:00:00Z",
		"2024-1-1":                     "2024-01-01T00:00:00Z",
		"2023-12-31T24:00:00Z":         "2024-01-01T00:00:00Z",
		"2023-12-31T24:00":             "2024-01-01T00:00:00Z",
		"20231231T24":                  "2024-01-01T00:00:00Z",
		"2016-12-31T23:59:60Z":         "2017-01-01T00:00:00Z",
		"2016-12-31T23:59:60.5Z":       "2017-01-01T00:00:00.5Z",
		"2017-01-01T08:59:60+09:00":    "2017-01-01T00:00:00Z",
		"2016-12-31T18:59:60 -0500":    "2017-01-01T00:00:00Z",
		"0001-01-01T00:00:00Z":         "0001-01-01T00:00:00Z",
		"2018-08-05T12:20:25.49999990": "2018-08-05T12:20:25.5Z",
	} {
		at, err := time.Parse(time.RFC3339Nano, want)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := Parse(text); !ok || got != trackway.MicrosOf(at) {
			t.Errorf("%q: got %v, %t; want %s", text, got.Time(), ok, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "now", "1533495544", "20180805", "20180805122025", "18-08-05 12:20:25", "2018-08-05T12:20:25.", "2018-08-05T12:20:25,",
		"2018", "2018-08", "2018-08-05T", "2018-08-05 ", "20180805T", "2018-08-05Z", "2018-08-05+02:00", "2018-0805T12:20:25", "201808-05T12:20:25",
		"2018-08-05  12:20:25", " 2018-08-05 12:20:25", "2018-08-05 12:20:25 ", "2018-08-05 12:20:25  Z", "2018-08-05 12:20:25Z ", "2018-08-05 12:20:25 UT",
		"2018-13-05 12:20:25", "2018-00-05 12:20:25", "2018-08-00 12:20:25", "2018-08-32 12:20:25", "2018-02-29 12:20:25", "2018-06-31", "20180631T12",
		"2018-08-05 24:00:01", "2018-08-05 24:01", "2018-08-05 24:00:00.000001", "2018-08-05 25:00:00", "2018-08-05 12:60:00", "2018-08-05 12:2:5", "2018-08-05 12:20:5",
		"2018-08-05 12:20:60", "2018-08-05T23:59:60+01:00", "2018-08-05T23:59:61Z", "2018-08-05T12:20:25+24:00", "2018-08-05T12:20:25+01:60",
		"2018-08-05T12:20:25+1:00", "2018-08-05T12:20:25+010", "2018-08-05T12:20:25+01:", "2018-08-05T12:20:25+0100Z", "2018-08-05T12:20:25+0000 UTC",
		"2018-08-05T12:20.5Z", "2018-08-05T12.5Z", "2018-08-05T12:2025", "2018-08-05T1220:25", "2018-08-05T9", "2018-08-05T920",
		"2018/08/05 12:20:25", "05.08.2018", "2018-W31-7T12:20:25Z", "2018W317T122025Z", "2018-217T12:20:25Z", "2018217T122025Z", "+002018-08-05T12:20:25Z",
		"-2018-08-05T12:20:25Z", "2018-08-05T12:20:25Zulu", "2018-08-05T12:20:25 GMT", "2018-08-05T12:20:25 CET", "2018-08-05T12:20:25[Europe/Paris]",
		"٢٠١٨-08-05 12:20:25", "2018-08-05T12:20:25\u221201:00", "2018-08-05T12:20:25Z\x00",
	} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q: got %v", text, got.Time())
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) { // not parallel: the count is the process's
	if n := allocs.PerRun(10, func() { _, _ = Parse("2018-08-05 14:20:25.5 +02:00") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// layouts are the layouts of package time for the accepted forms, without
// fractions, hour 24 and leap seconds.
var layouts = func() (all []string) {
	for _, date := range []string{"2006-1-2", "20060102"} {
		for _, clock := range []string{"15:4:5", "15:04", "15", "150405", "1504"} {
			for _, offset := range []string{"", "Z07:00", "Z0700", "Z07", "UTC"} {
				all = append(all, date+"T"+clock+offset)
			}
		}
	}
	return append(all, "2006-1-2")
}()

// reference parses text with package time, after it has adapted spaces and
// letters to the layouts.
func reference(text string) (time.Time, bool) {
	plain := strings.NewReplacer("t", "T", "z", "Z", ",", ".", "u", "U", "c", "C").Replace(text)
	if before, _, _ := strings.Cut(plain, " "); !strings.Contains(before, "T") {
		plain = strings.Replace(plain, " ", "T", 1)
	}
	if date, offset, found := strings.Cut(plain, " "); found {
		plain = date + offset
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, plain); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// Package time accepts more in some places: RFC 3339 leaves these open.
var (
	lax = regexp.MustCompile(`[+-](24:?..|..:?60|24)$`)
	// Package time does not accept the ends of days.
	ends = regexp.MustCompile(`[Tt ]24|60`)
)

// FuzzParse compares Parse with package time. Parse must accept what package
// time accepts as RFC 3339, with the same result. Everything else that Parse
// accepts must match one of the layouts.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"2018-8-5 12:20:25", "2021-08-16T13:03:00.0000005+02:00", "2024-02-29t00:00:00-0730", "2024-01-01T10:00Z", "20240101T100000Z",
		"2024-01-01 10:00:00 UTC", "2024-01-01 12:00:00 +0200", "20240101T1000+02", "2024-01-01", "2024-1-1T10", "2016-12-31T23:59:60Z",
		"2023-12-31T24:00:00,000", "2021-08-16T13:03:00+00:60", "2021-08-16T13:03:00-24:00", "2018-W31-7T12:20:25Z", "2024-1-1T1000 +00",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := Parse(text)
		strict, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
		if err == nil && !lax.MatchString(text) && !ok {
			t.Fatalf("refused, which package time reads as RFC 3339: %v", strict)
		}
		if !ok || ends.MatchString(text) {
			return
		}
		// Parse rounds a fraction; package time truncates it.
		if want, found := reference(text); !found || got < trackway.MicrosOf(want) || got > trackway.MicrosOf(want)+1 {
			t.Errorf("got %v, package time says %v, %t", got.Time(), want, found)
		}
	})
}
