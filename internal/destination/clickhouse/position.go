package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"trackway/internal/destination"
)

// positionTable holds a row for the destination that writes into the database.
const positionTable = "trackway_position"

// position is a row of the table of positions. A row with a higher Changed
// replaces others. It says that everything up to Number has been written. Each
// writer starts from the present row, and adds a row after its data. So the
// statement is true of every row, even if two processes write.
type position struct {
	Store   string `json:"store"`
	Number  uint64 `json:"number"`
	Owner   string `json:"owner"`   // the sink that writes; empty: nobody yet
	Rewinds uint64 `json:"rewinds"` // how often it went back
	Changed uint64 `json:"changed"`
}

type positionRow struct {
	Destination string `json:"destination"`
	position
}

// readPosition returns the present row, or an empty one. It returns a final
// error if the database belongs to another destination: both might use the same
// numbers for different events and customers, which would then replace each
// other.
func (s *Sink) readPosition(ctx context.Context) (position, error) {
	var p position
	err := s.client.rows(ctx, "read the position", "SELECT destination, store, number, owner, rewinds, changed FROM "+s.in(positionTable)+
		" WHERE store != '' ORDER BY changed DESC, number DESC LIMIT 1 BY destination FORMAT JSONEachRow", plainNumbers(),
		func(line []byte) error {
			var row positionRow
			if json.Unmarshal(line, &row) != nil {
				return errAnswer
			}
			if row.Destination != s.name {
				return &destination.FinalError{Err: fmt.Errorf(
					"the database %s has the tables of the destination %q: give this one another database (prefix). If you have renamed the destination, "+
						"run INSERT INTO %s SELECT %s, store, number, '', rewinds, changed FROM %[3]s WHERE destination = %[5]s; ALTER TABLE %[3]s DELETE WHERE destination = %[5]s",
					s.database, row.Destination, s.in(positionTable), literal(s.name), literal(row.Destination))}
			}
			p = row.position
			return nil
		})
	return p, err
}

// writePosition adds a row that replaces the present one.
func (s *Sink) writePosition(ctx context.Context, p position) error {
	line, err := json.Marshal(positionRow{s.name, p})
	if err != nil {
		return err
	}
	b := s.newBody(positionTable, p.Store, p.Rewinds)
	b.line = append(append(b.line[:0], line...), '\n')
	b.endRow()
	return s.insert(ctx, b)
}

// claim returns the present position, with this sink as its owner. It returns a
// final error if another process has taken over since this one began to write,
// or if the position belongs to another store.
func (s *Sink) claim(ctx context.Context, b *destination.Batch) (position, error) {
	p, err := s.readPosition(ctx)
	switch {
	case err != nil:
		return p, err
	case p.Store != "" && p.Store != b.Store:
		return p, &destination.FinalError{Err: fmt.Errorf("the position of destination %s in the database belongs to another store: rewind the destination, or use another database", s.name)}
	case p.Store != "" && p.Number < b.After: // the database was restored, for example
		return p, fmt.Errorf("the position is %d, before the batch, which begins after %d", p.Number, b.After)
	case p.Owner == s.owner:
		return p, nil
	case s.claimed:
		s.claimed = false // once the operator has resumed this destination, it takes over
		return p, &destination.FinalError{
			Taken: true, Err: fmt.Errorf("another process writes destination %s, or has rewound it: stop one of them, and resume the destination", s.name),
		}
	}
	if p.Store == "" { // changes before the first batch are not wanted
		p.Number = b.After
	}
	p.Store, p.Owner, p.Changed = b.Store, s.owner, p.Changed+1
	if err := s.writePosition(ctx, p); err != nil {
		return p, err
	}
	s.claimed = true
	return p, nil
}

// Rewind records another position. The events after it stay, and are replaced
// only if they come again in another form.
//
// After a restore from a backup, another store continues, with other changes
// after that position. The rows of customers that the old changes wrote have
// higher numbers than the new changes. They would stay in force, although the
// same customer number may now mean another person. So Rewind removes them.
func (s *Sink) Rewind(ctx context.Context, to destination.Position) error {
	have, err := s.look(ctx)
	if err != nil {
		return err
	}
	if have[positionTable] == nil || have["events"] == nil {
		if err := s.create(ctx, have); err != nil {
			return err
		}
	}
	p, err := s.readPosition(ctx)
	if err != nil {
		return err
	}
	if p.Store != "" && p.Store != to.Store {
		for _, table := range []string{"customers", "customer_ids", "customer_map"} {
			if err := s.remove(ctx, table, "changed > "+strconv.FormatUint(to.Number, 10)); err != nil {
				return err
			}
		}
	}
	owner := ""
	if s.claimed {
		owner = s.owner
	}
	p = position{Store: to.Store, Number: to.Number, Owner: owner, Rewinds: p.Rewinds + 1, Changed: p.Changed + 1}
	if err := s.writePosition(ctx, p); err != nil {
		return err
	}
	return s.findHighest(ctx, p)
}
