package postgres_test

import (
	"testing"

	"trackway"
	"trackway/internal/destination"
)

// TestErasureOfChain: one batch makes a customer absorb another one, who has
// absorbed a third, and erases the customer.
func TestErasureOfChain(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	customer := func(number, survivor trackway.Customer, changed uint64, ids ...string) destination.Customer {
		c := destination.Customer{Customer: number, Survivor: survivor, Project: "demo", Changed: changed, Properties: []byte("{}")}
		for _, id := range ids {
			c.IDs = append(c.IDs, trackway.Identifier{Name: "cookie", Value: id})
		}
		return c
	}
	write(t, s, &destination.Batch{Store: storeID, Through: 10, Customers: []destination.Customer{
		customer(1, 0, 1, "c1"), customer(2, 0, 2, "c2"), customer(3, 0, 3, "c3"),
	}})
	write(t, s, &destination.Batch{Store: storeID, After: 10, Through: 20, Customers: []destination.Customer{
		customer(3, 2, 11), customer(2, 0, 12, "c2", "c3"),
	}})
	erased := customer(1, 0, 23)
	erased.Erased = true
	write(t, s, &destination.Batch{Store: storeID, After: 20, Through: 30, Customers: []destination.Customer{customer(2, 1, 22), erased}})
	expect(t, d, "SELECT customer, survivor FROM customer_map ORDER BY 1", "2|1", "3|1")
	expect(t, d, "SELECT * FROM customer_ids")
}
