package identity_test

import (
	"fmt"

	"trackway"
	"trackway/internal/identity"
)

// A visitor, known only by a cookie, signs in as Jane, an existing customer.
// The two become one customer, and the older one survives.
func ExampleResolve() {
	cookie := trackway.Identifier{Name: "cookie", Value: "c-1"}
	registered := trackway.Identifier{Name: "registered", Value: "jane@example.com", Hard: true}
	jane := &identity.Holder{Customer: 1, Created: 100, IDs: []identity.ID{{Identifier: registered, Used: 100}}}
	visitor := &identity.Holder{Customer: 2, Created: 200, IDs: []identity.ID{{Identifier: cookie, Used: 200}}}

	d, err := identity.Resolve([]trackway.Identifier{registered, cookie}, []*identity.Holder{jane, visitor}, 300)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("about customer", d.Holder.Customer)
	for _, h := range d.Absorbed {
		fmt.Println("absorbs customer", h.Customer)
	}
	for _, id := range d.Assign {
		fmt.Println("now leads here:", id.Name)
	}
	// Output:
	// about customer 1
	// absorbs customer 2
	// now leads here: cookie
}
