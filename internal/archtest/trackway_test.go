package archtest

import (
	"os"
	"strings"
	"testing"
)

// trackway is the architecture of this module. docs/architecture.md describes
// it in words.
var trackway = Rules{
	Module: "trackway",
	Layers: map[string]int{
		".": -1, // the domain: every package may use its types

		"client": 0,

		"openapi":             0,
		"openapi/openapitest": 0,
		"web":                 1,

		"internal/budget":      0,
		"internal/canonjson":   0,
		"internal/cell":        0,
		"internal/change":      0,
		"internal/certificate": 0,
		"internal/clientip":    0,
		"internal/durable":     0,
		"internal/excerpt":     0,
		"internal/httpsonly":   0,
		"internal/httpcache":   0,
		"internal/iso8601":     0,
		"internal/manual":      0,
		"internal/people":      0,
		"internal/piecewise":   0,
		"internal/allocs":      0,
		"internal/prereq":      0,
		"internal/scale":       0,
		"internal/seal":        0,
		"internal/shortcut":    0,
		"internal/sleep":       0,
		"internal/systemd":     0,
		"internal/terminal":    0,

		"internal/alarm":        3,
		"internal/alarm/notify": 4,

		"internal/acme":              1,
		"internal/config":            1,
		"internal/config/alarming":   0,
		"internal/config/covered":    0,
		"internal/config/initial":    1,
		"internal/config/membership": 4,
		"internal/config/dirlock":    0,
		"internal/config/document":   3,
		"internal/config/owned":      0,
		"internal/config/problem":    0,
		"internal/config/setting":    2,
		"internal/config/reach":      2,
		"internal/config/scalar":     1,
		"internal/config/traces":     4,
		"internal/config/secret":     0,
		"internal/ask":               1,
		"internal/auth":              1,
		"internal/door":              1,
		"internal/fleet":             1,
		"internal/format":            1,
		"internal/format/cost":       0,
		"internal/format/tracking":   2,
		"internal/format/otlp":       3,
		"internal/format/posthog":    3,
		"internal/format/segment":    3,
		"internal/format/foreign":    4,
		"internal/format/value":      1,
		"internal/load":              1,
		"internal/limit":             1,
		"internal/limit/history":     1,
		"internal/limit/pace":        1,
		"internal/limit/share":       1,
		"internal/limit/table":       1,
		"internal/limit/traffic":     1,
		"internal/limit/watch":       1,
		"internal/identity":          1,
		"internal/live":              1,
		"internal/query":             1,
		"internal/rates":             1,
		"internal/trace":             1,
		"internal/entry":             1,

		"internal/export":            3,
		"internal/catalogue/listing": 3,
		"internal/catalogue":         2,
		"internal/guide":             2,
		"internal/ingest":            2,
		"internal/listen":            2,
		"internal/limit/replay":      2,
		"internal/query/page":        2,
		"internal/upkeep":            2,

		"internal/destination":          2,
		"internal/destination/column":   2,
		"internal/destination/outbound": 2,
		"internal/destination/kept":     3,
		"internal/destination/turn":     2,
		"internal/destination/listing":  3,
		"internal/destination/object":   3,
		"internal/destination/suggest":  3,
		"internal/destination/verify":   3,

		"internal/destination/clickhouse": 3,
		"internal/destination/kafka":      3,
		"internal/destination/mirror":     3,
		"internal/destination/postgres":   3,
		"internal/destination/webhook":    3,
		"internal/destination/file":       4,
		"internal/destination/s3":         4,
		"internal/destination/kinds":      5,

		"internal/destination/destinationtest":       4,
		"internal/destination/kafka/brokers":         1,
		"internal/destination/kafka/kafkatest":       4,
		"internal/destination/object/objecttest":     5,
		"internal/destination/postgres/postgrestest": 4,

		"internal/limit/trial": 3,

		"internal/log/group":    2,
		"internal/log/local":    2,
		"internal/log/logtest":  3,
		"internal/log/progress": 1,

		"internal/log/kafka":         6,
		"internal/log/raft":          5,
		"internal/log/raft/logstore": 4,
		"internal/log/raft/parcel":   1,
		"internal/log/raft/peer":     1,

		"internal/store/backup": 2,
		"internal/store/cache":  2,
		"internal/store/counts": 3,
		"internal/store/damage": 1,
		"internal/store/digest": 3,

		"internal/store/digest/digesttest": 4,

		"internal/store/engine":   3,
		"internal/store/erased":   5,
		"internal/store/follow":   5,
		"internal/store/format":   2,
		"internal/store/journal":  1,
		"internal/store/prepared": 4,
		"internal/store/reading":  4,
		"internal/store/registry": 5,
		"internal/store/repeats":  5,
		"internal/store/overlay":  3,
		"internal/store/recent":   3,
		"internal/store/scrub":    2,
		"internal/store/seen":     5,
		"internal/store/stuck":    4,
		"internal/store/timeline": 3,
		"internal/store/totals":   3,

		"internal/store": 3,

		"internal/api":             4,
		"internal/api/body":        2,
		"internal/api/consent":     2,
		"internal/api/dialect":     4,
		"internal/api/cors":        0,
		"internal/api/permit":      2,
		"internal/api/position":    2,
		"internal/api/request":     0,
		"internal/api/rest":        0,
		"internal/api/room":        1,
		"internal/api/stats":       3,
		"internal/api/table":       3,
		"internal/api/traced":      3,
		"internal/control":         5,
		"internal/control/members": 0,
		"internal/control/relay":   0,
		"internal/dashboard":       4,
		"internal/datadir":         4,
		"internal/ops":             4,

		"internal/app":     7,
		"internal/doctor":  5,
		"internal/feed":    6,
		"internal/running": 6,

		"cmd/trackway":            8,
		"cmd/trackway/alarms":     6,
		"cmd/trackway/cluster":    6,
		"cmd/trackway/user":       6,
		"cmd/trackway/command":    5,
		"cmd/trackway/configfile": 4,

		"internal/archtest": 8,
		"internal/e2e":      7,
		"internal/wording":  7,
	},
	Modules: map[string][]string{
		"github.com/HdrHistogram/hdrhistogram-go":       {"internal/load"},
		"github.com/alecthomas/kong":                    {"cmd/trackway"},
		"github.com/cockroachdb/pebble/v2":              {"internal/store", "internal/log/raft", Tests},
		"github.com/cockroachdb/datadriven":             {Tests},
		"github.com/gaissmai/bart":                      {"internal/clientip", "internal/limit"},
		"github.com/go-json-experiment/json":            {Tests},
		"github.com/getkin/kin-openapi":                 {Tests},
		"github.com/santhosh-tekuri/jsonschema/v6":      {Tests},
		"github.com/goccy/go-yaml":                      {"internal/config", "internal/feed", "openapi"},
		"github.com/google/go-cmp":                      {Tests},
		"github.com/hashicorp/go-hclog":                 {"internal/log/raft"},
		"github.com/hashicorp/raft":                     {"internal/log/raft"},
		"github.com/klauspost/compress":                 {"internal/api/body", "internal/destination", "internal/feed", Tests},
		"github.com/jackc/pgx/v5":                       {"internal/destination/postgres"},
		"github.com/mholt/acmez/v3":                     {"internal/acme"},
		"github.com/minio/minio-go/v7":                  {"internal/destination/s3"},
		"github.com/parquet-go/parquet-go":              {"internal/destination/object", "internal/export"},
		"github.com/twmb/franz-go":                      {"internal/destination/kafka", "internal/log/kafka", Tests},
		"github.com/prometheus/client_golang":           {"internal/acme", "internal/alarm", "internal/api", "internal/app", "internal/budget", "internal/certificate", "internal/destination", "internal/door", "internal/ingest", "internal/limit", "internal/ops", "internal/store", "internal/trace", "internal/upkeep", Tests},
		"github.com/prometheus/client_model":            {Tests},
		"github.com/prometheus/common":                  {Tests},
		"github.com/rogpeppe/go-internal":               {Tests},
		"go.opentelemetry.io/proto/otlp":                {"internal/trace", Tests},
		"go.uber.org/goleak":                            {Tests},
		"google.golang.org/protobuf/encoding/protowire": {"internal/format/otlp", "internal/trace", Tests},
		"google.golang.org/protobuf/proto":              {"internal/trace", Tests},
		"golang.org/x/crypto":                           {"internal/people", "internal/store"},
		"golang.org/x/term":                             {"cmd/trackway/user"},
		"golang.org/x/sync":                             {"internal/app", "internal/upkeep", Tests},
		"golang.org/x/sys":                              {"internal/durable", "internal/store"},
		"pgregory.net/rapid":                            {Tests},
	},
	Importers: map[string][]string{
		"internal/store": {"internal/app", "internal/datadir"}, // app alone knows interface and implementation
		"internal/app":   {"cmd/trackway"},

		"internal/destination/kinds": {"internal/app", "cmd/trackway"}, // it links every kind's libraries
	},
	MaxFileLines:    600,
	MaxPackageLines: 3000,
	MaxExports:      25,
}

func TestTrackway(t *testing.T) {
	t.Parallel()
	pkgs, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if found := trackway.Check(pkgs); len(found) > 0 {
		t.Errorf("%d findings:\n%s", len(found), strings.Join(found, "\n"))
	}
}
