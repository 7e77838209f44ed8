package contracts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/config"
	"trackway/internal/contract"
)

const project = `projects:
  - name: shop
    token: 12345678-1234-1234-1234-123456789abc
`

func parse(t *testing.T, contracts string) (*config.Config, error) {
	t.Helper()
	return config.Parse("t.yaml", []byte(project+contracts), config.Flags{}, func(string) (string, bool) { return "", false })
}

// TestContracts: a schema may be written as YAML or as JSON. Numbers keep their
// spelling, and texts that look like numbers stay texts.
func TestContracts(t *testing.T) {
	t.Parallel()
	cfg, err := parse(t, `    contracts:
      - type: purchase
        schema:
          type: object
          required: [price]
          properties:
            price: {type: number, minimum: 0.10}
            zip: {const: "012"}
            coupon: {type: [string, "null"], default: null}
      - {type: visit, action: quarantine, schema: {"properties": {"path": {"pattern": "^/"}}}}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]contract.Contract{"12345678-1234-1234-1234-123456789abc": {
		{Type: "purchase", Action: contract.Report, Schema: []byte(`{"properties":{"coupon":{"default":null,"type":["string","null"]},"price":{"minimum":0.10,"type":"number"},"zip":{"const":"012"}},"required":["price"],"type":"object"}`)},
		{Type: "visit", Action: contract.Quarantine, Schema: []byte(`{"properties":{"path":{"pattern":"^/"}}}`)},
	}}
	if diff := cmp.Diff(want, cfg.Contracts); diff != "" {
		t.Errorf("(-want): %s", diff)
	}
	if cfg, err := parse(t, ""); err != nil || cfg.Contracts != nil {
		t.Errorf("without contracts: %v, %v", cfg.Contracts, err)
	}
}

func TestWrongContracts(t *testing.T) {
	t.Parallel()
	for contracts, want := range map[string]string{
		`[{schema: {}}]`:           "contracts[0]: needs a type of events",
		`[{type: "", schema: {}}]`: "must be a type of events",
		`[{type: a}]`:              "needs either schema or schema_file",
		`[{type: a, schema: {}, schema_file: b.json}]`:                        "needs either schema or schema_file",
		`[{type: a, action: drop, schema: {}}]`:                               "must be report, refuse or quarantine",
		`[{type: a, schema: {}}, {type: a, schema: {}}]`:                      "contracts[1].type",
		`[{type: a, schema: {properties: {x: {typ: string}}}}]`:               "contracts[0].schema: is wrong at /properties/x/typ: it is not a keyword",
		`[{type: a, schema: {properties: {x: {$ref: "https://x.example"}}}}]`: "it must refer to #/$defs/",
		`[{type: a, schema: {properties: {x: {minimum: 0x10}}}}]`:             "not one of JSON: 0x10",
		`[{type: a, schema: {properties: {x: {maximum: .inf}}}}]`:             "infinite numbers",
		`[{type: a, schema: text}]`:                                           "must be a JSON object",
		`[{type: a, scheme: {}}]`:                                             "unknown key",
	} {
		_, err := parse(t, "    contracts: "+contracts+"\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", contracts, err, want)
		}
	}
}

// TestSchemaFile: a path starts at the folder of the configuration.
func TestSchemaFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "t.yaml")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("t.yaml", project+"    contracts: [{type: a, schema_file: a.json}]\n")
	if _, _, err := config.Load(path, config.Flags{}); err == nil || !strings.Contains(err.Error(), "contracts[0].schema_file") {
		t.Errorf("without the file: %v", err)
	}
	if _, err := config.LoadElsewhere(path, config.Flags{}); err != nil {
		t.Errorf("a command needs the file: %v", err)
	}
	write("a.json", "{\n  \"required\": [\"x\"]\n}\n")
	cfg, _, err := config.Load(path, config.Flags{})
	if err != nil || string(cfg.Contracts[cfg.Projects[0].Token][0].Schema) != `{"required":["x"]}` {
		t.Errorf("got %v, %v", cfg, err)
	}
	write("a.json", "{\n  \"required\": [\"x\"\n}\n")
	if _, _, err := config.Load(path, config.Flags{}); err == nil || !strings.Contains(err.Error(), "must be JSON: invalid character '}' after array element in line 3") {
		t.Errorf("a broken file: %v", err)
	}
}
