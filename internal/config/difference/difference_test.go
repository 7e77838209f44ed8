package difference

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/contract"
	"trackway/internal/people/openid"
)

// TestAll checks that a change of any part of the configuration is told.
func TestAll(t *testing.T) {
	t.Parallel()
	const shop = "12345678-1234-1234-1234-123456789abc"
	with := func() *config.Config {
		return &config.Config{Projects: []trackway.Project{{Name: "shop", Token: shop}}}
	}
	untold := []string{"Cluster", "File"} // they never change
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
		if slices.Contains(untold, f.Name) {
			continue
		}
		next := with()
		if f.Name == "Contracts" { // they are named by their projects
			next.Contracts = map[string][]contract.Contract{shop: {{Type: "purchase"}}}
		} else {
			fill(reflect.ValueOf(next).Elem().FieldByIndex(f.Index))
		}
		if Of(with(), next) == nil {
			t.Errorf("a change of %s is not told", f.Name)
		}
		if again := Of(next, next); again != nil {
			t.Errorf("%s: no change is told as %q", f.Name, again)
		}
	}
}

// fill gives a value another one.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
	case reflect.Array:
		fill(v.Index(0))
	case reflect.Struct:
		fill(v.Field(0))
	default:
		panic("no way to change a " + v.Kind().String())
	}
}

// TestNames checks the names of a change of who may sign in, and of a contract.
func TestNames(t *testing.T) {
	t.Parallel()
	const shop = "12345678-1234-1234-1234-123456789abc"
	of := func(role, schema string) *config.Config {
		return &config.Config{
			Projects:  []trackway.Project{{Name: "shop", Token: shop}},
			Provider:  &openid.Settings{Groups: []openid.Group{{Name: "staff", Roles: []string{role}}}},
			Contracts: map[string][]contract.Contract{shop: {{Type: "purchase", Schema: []byte(schema)}}},
		}
	}
	if diff := cmp.Diff([]string{"dashboard.oidc", "contract purchase of shop"}, Of(of("viewer", "{}"), of("admin", "true"))); diff != "" {
		t.Error(diff)
	}
}
