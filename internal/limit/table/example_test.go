package table_test

import (
	"fmt"
	"time"

	"trackway/internal/limit/table"
)

// Of five calls at once, GCRA with a burst of 2 admits two. A second later it
// admits one more, since it spreads three more over 3 seconds.
func ExampleGCRA() {
	t := table.New(1000)
	rule := table.GCRA(5, 2, 3000)
	t.Prepare(0, &rule)
	caller := t.Key(t.Word("example"), 0, 1, 0)
	for i := range 7 {
		at := time.Duration(0)
		if i >= 5 {
			at = time.Second
		}
		fmt.Println(at, t.Take(int64(at), caller, 0, &rule).Allowed)
	}
	// Output:
	// 0s true
	// 0s true
	// 0s false
	// 0s false
	// 0s false
	// 1s true
	// 1s false
}
