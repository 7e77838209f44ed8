package iso8601_test

import (
	"fmt"
	"time"

	"trackway/internal/iso8601"
)

func ExampleParse() {
	for _, text := range []string{
		"2026-11-28T20:15:00Z",
		"2026-11-28 21:15+01:00", // the same time: a space, no seconds, an offset
		"20261128T201500.25Z",    // the basic form, with a fraction
		"2026-11-28",             // the first moment of the day in UTC
		"1795896900",             // digits only could be seconds
		"tomorrow",
	} {
		if at, ok := iso8601.Parse(text); ok {
			fmt.Println(at.Time().Format(time.RFC3339Nano))
		} else {
			fmt.Println("no time:", text)
		}
	}
	// Output:
	// 2026-11-28T20:15:00Z
	// 2026-11-28T20:15:00Z
	// 2026-11-28T20:15:00.25Z
	// 2026-11-28T00:00:00Z
	// no time: 1795896900
	// no time: tomorrow
}
