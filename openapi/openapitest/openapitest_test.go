package openapitest

import "testing"

func TestLoad(t *testing.T) {
	t.Parallel()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(c.Routes())
}
