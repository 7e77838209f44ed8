package cell_test

import (
	"fmt"

	"trackway/internal/cell"
)

// A spreadsheet would execute a cell that begins with an equals sign.
func ExampleGuard() {
	for _, text := range []string{"Jane", "=HYPERLINK(1)", "+491711234567"} {
		guarded := cell.Guard(text)
		fmt.Println(guarded, cell.Unguard(guarded) == text)
	}
	// Output:
	// Jane true
	// '=HYPERLINK(1) true
	// +491711234567 true
}
