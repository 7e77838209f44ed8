package auth

import (
	"testing"

	"trackway"
)

func TestOperator(t *testing.T) {
	t.Parallel()
	keys := New(projects)
	for _, c := range []struct {
		authorization, key string
		err                *trackway.Error
	}{
		{basic("backend-id:" + secret), "backend", nil},
		{"Token shop-key", "shop", nil}, // a public key: the caller of Operator refuses it
		{basic("backend-id:wrong"), "", errSecret},
		{basic("nobody:" + secret), "", errNotFound},
		{"Token nobody", "", errNotFound},
		{"Token", "", errNoKey},
		{"", "", errNoKey},
	} {
		for range 20 { // the order of the projects is random
			grant, err := keys.Operator(now, c.authorization)
			if err != c.err {
				t.Fatalf("%q: got %v, want %v", c.authorization, err, c.err)
			}
			if err == nil && (grant.Key.Name != c.key || grant.Project == nil) {
				t.Fatalf("%q: got %v, want %s", c.authorization, grant.Key.Name, c.key)
			}
		}
	}
}
