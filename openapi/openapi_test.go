package openapi

import (
	"encoding/json"
	"testing"
)

func TestDump(t *testing.T) {
	d, err := Parse()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.MarshalIndent(d, "", " ")
	t.Log(string(b))
}
