package config

import "time"

// Destination is a checked section of destinations. Settings that its kind does
// not have are empty.
type Destination struct {
	Name      string
	Partition string   // the one of several that it follows, such as p01; empty: there is only one
	Managed   bool     // it is in the managed file: a caller of the admin API may have made it
	Kind      string   // one of the names of kinds in this package
	URL       string   // all but file; kafka: list of brokers; s3: endpoint; may contain credentials
	Path      string   // file: the folder, absolute
	Projects  []string // names; empty: all
	Events    []string // types, with * at the end for a prefix; empty: all
	Drop      []string // names of properties
	Rename    map[string]string
	Columns   []Column
	Start     string        // beginning, now, a number, or a time in ISO 8601
	Rows      int           // most in a batch
	Bytes     int           // most in a batch
	Every     time.Duration // longest time until a batch that is not full is written
	Paused    bool
	Retention string        // hold or let_go
	Hold      time.Duration // with hold: after this much lag, events expire nevertheless; 0: never

	Bucket         string   // s3
	Prefix         string   // s3, kafka: before names of objects or topics; databases: the schema or database
	Format         string   // s3, file: ndjson or parquet
	Region         string   // s3
	User, Password string   // clickhouse, kafka, s3 (access key and secret), if not in URL
	Secret         string   // webhook: whsec_… or any text
	Identifier     string   // mirror: a soft identifier of the other side for our customers' numbers
	Allow          []string // webhook, mirror: hosts or CIDRs that may be private
}

// Called returns what operators call the destination: its name, and if it is
// that of a partition, a slash and the partition.
func (d *Destination) Called() string {
	if d.Partition == "" {
		return d.Name
	}
	return d.Name + "/" + d.Partition
}

// Column is a typed column of table events that a property is copied into.
type Column struct {
	Type     string // of the event; empty: all types
	Property string
	Name     string // by default the property's
	As       string // text, bigint, double, boolean, timestamp, date, decimal(p,s)
}
