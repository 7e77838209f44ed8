package destination

import "testing"

// TestMoreRejectsThanRows: a customer is one row of a batch, and may be
// rejected once for each of its tables.
func TestMoreRejectsThanRows(t *testing.T) {
	t.Parallel()
	var s stats
	s.wrote(&Batch{Customers: make([]Customer, 1)}, []Reject{{Table: "customers"}, {Table: "customer_ids"}})
	if s.rows != 0 {
		t.Errorf("%d rows were written, want none", s.rows)
	}
}
