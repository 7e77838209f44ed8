package postgres_test

import (
	"strconv"
	"testing"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/destination/postgres"
	"trackway/internal/destination/postgres/postgrestest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	destinationtest.Run(t, func(t *testing.T) *destinationtest.Partner {
		d := database(t)
		shared, err := server()
		if err != nil {
			t.Fatal(err)
		}
		proxy := shared.Proxy(t)
		c := config.Destination{Name: "warehouse", Kind: "postgres", URL: d.At(proxy.Port), Prefix: "copy"}
		return &destinationtest.Partner{
			Config: c,
			Open: func() destination.Sink {
				s, err := postgres.New(c)
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Tables: func(t *testing.T) *destinationtest.Tables { return tables(t, d) },
			Break: func(t *testing.T, f destinationtest.Fault) func() {
				t.Helper()
				switch f {
				case destinationtest.Refused:
					proxy.Refuse(true)
					return func() { proxy.Refuse(false) }
				case destinationtest.Unanswered:
					proxy.LoseCommit()
					return func() {
						if !proxy.Lost() {
							t.Error("no answer was lost")
						}
					}
				default:
					proxy.Slow(true)
					return func() { proxy.Slow(false) }
				}
			},
			Lacks: destinationtest.Lacks{Spelling: true},
		}
	})
}

// tables reads the destination with psql.
func tables(t *testing.T, d *postgrestest.Database) *destinationtest.Tables {
	t.Helper()
	number := func(s string) uint64 {
		if s == "" {
			return 0
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	micros := func(column string) string { return "(extract(epoch FROM " + column + ") * 1000000)::bigint" }
	all := &destinationtest.Tables{Map: map[trackway.Customer]trackway.Customer{}}
	for _, r := range d.SQL(t, "SELECT seq, project, customer, type, "+micros("at")+", "+micros("received_at")+", properties FROM copy.events ORDER BY seq") {
		all.Events = append(all.Events, destination.Event{
			Seq: number(r[0]), Project: r[1], Customer: trackway.Customer(number(r[2])), Type: r[3],
			At: trackway.Micros(number(r[4])), Received: trackway.Micros(number(r[5])), Properties: []byte(r[6]),
		})
	}
	for _, r := range d.SQL(t, "SELECT customer, project, properties, "+micros("created_at")+", changed, erased FROM copy.customers") {
		all.Customers = append(all.Customers, destination.Customer{
			Customer: trackway.Customer(number(r[0])), Project: r[1], Properties: []byte(r[2]), Created: trackway.Micros(number(r[3])), Changed: number(r[4]), Erased: r[5] == "t",
		})
	}
	for _, r := range d.SQL(t, "SELECT customer, name, value FROM copy.customer_ids WHERE NOT removed") {
		all.IDs = append(all.IDs, destinationtest.ID{Customer: trackway.Customer(number(r[0])), Name: r[1], Value: r[2]})
	}
	for _, r := range d.SQL(t, "SELECT customer, survivor FROM copy.customer_map") {
		all.Map[trackway.Customer(number(r[0]))] = trackway.Customer(number(r[1]))
	}
	for _, r := range d.SQL(t, "SELECT erasure, project, customer, "+micros("asked_at")+", "+micros("done_at")+" FROM copy.erasures") {
		all.Erasures = append(all.Erasures, destination.Erasure{
			ID: number(r[0]), Project: r[1], Customer: trackway.Customer(number(r[2])), Asked: trackway.Micros(number(r[3])), Done: trackway.Micros(number(r[4])),
		})
	}
	return all
}
