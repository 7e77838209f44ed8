package main

import (
	"context"
	"database/sql"
	"os/exec"
	"path/filepath"

	_ "github.com/mattn/go-sqlite3" // the driver
)

func startSQLite(dir string) (needs []*exec.Cmd, address string) {
	return nil, filepath.Join(dir, "events.db")
}

// write is a request that waits to be written.
type write struct {
	events []event
	done   chan error
}

func openSQLite(file string) keeper {
	db, err := sql.Open("sqlite3", "file:"+file+"?_journal_mode=WAL&_synchronous=FULL")
	must(err)
	db.SetMaxOpenConns(1) // SQLite has one writer
	_, err = db.Exec(`CREATE TABLE events (customer TEXT NOT NULL, type TEXT NOT NULL, at INTEGER NOT NULL, properties TEXT NOT NULL);
		CREATE INDEX timeline ON events (customer, at)`)
	must(err)
	insert, err := db.Prepare(`INSERT INTO events VALUES (?, ?, ?, ?)`)
	must(err)
	writes := make(chan write, 1024)
	go func() {
		for w := range writes {
			group := []write{w}
			for len(writes) > 0 {
				group = append(group, <-writes)
			}
			err := writeGroup(db, insert, group)
			for _, w := range group {
				w.done <- err
			}
		}
	}()
	return func(_ context.Context, events []event) error {
		w := write{events, make(chan error, 1)}
		writes <- w
		return <-w.done
	}
}

// writeGroup writes the requests that wait in one transaction.
func writeGroup(db *sql.DB, insert *sql.Stmt, group []write) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing, once it is committed
	in := tx.Stmt(insert)
	for _, w := range group {
		for i := range w.events {
			e := &w.events[i]
			if _, err := in.Exec(e.IDs.Cookie, e.Type, e.time().UnixMicro(), string(e.Properties)); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}
