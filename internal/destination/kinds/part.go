package kinds

import (
	"cmp"
	"path"
	"path/filepath"

	"trackway/internal/config"
	"trackway/internal/destination/clickhouse"
	"trackway/internal/destination/postgres"
	"trackway/internal/partition"
)

// Part returns the configuration of a destination for one of several
// partitions. A destination follows one log, and the partitions have one each,
// with numbers of their own. So each partition has a place of its own wherever
// a destination keeps tables, objects or a position.
func Part(d config.Destination, part int) config.Destination {
	name := partition.Name(part)
	d.Partition = name
	switch d.Kind {
	case config.File:
		d.Path = filepath.Join(d.Path, name)
	case config.S3:
		d.Prefix = path.Join(d.Prefix, name)
	case config.Postgres:
		d.Prefix = cmp.Or(d.Prefix, postgres.DefaultSchema) + "_" + name
	case config.ClickHouse:
		d.Prefix = cmp.Or(d.Prefix, clickhouse.DefaultDatabase) + "_" + name
	case config.Kafka:
		d.Prefix += name + "."
	}
	return d
}
