package main

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trackway/bench/running"
)

// postgresProgram returns where a program of PostgreSQL is: Debian keeps those
// of the server out of the path.
func postgresProgram(name string) string {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1]
	}
	return name
}

func startPostgres(dir string) (needs []*exec.Cmd, address string) {
	data := filepath.Join(dir, "postgres")
	must(os.Mkdir(data, 0o700))
	asPostgres := func(cmd *exec.Cmd) *exec.Cmd { return cmd }
	if os.Geteuid() == 0 { // as whom it refuses to run
		who, err := user.Lookup("postgres")
		must(err)
		uid, err := strconv.Atoi(who.Uid)
		must(err)
		gid, err := strconv.Atoi(who.Gid)
		must(err)
		must(os.Chmod(dir, 0o711))
		must(os.Chown(data, uid, gid))
		asPostgres = func(cmd *exec.Cmd) *exec.Cmd {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
			return cmd
		}
	}
	cluster := filepath.Join(data, "cluster")
	initdb := asPostgres(running.Command(postgresProgram("initdb"), "--no-sync", "--auth=trust", "--username=bench", "--pgdata="+cluster))
	initdb.Stderr = os.Stderr
	must(initdb.Run())
	cmd := asPostgres(running.Command(postgresProgram("postgres"), "-D", cluster, "-k", data, "-c", "listen_addresses=", "-c", "log_min_messages=fatal"))
	must(cmd.Start())
	return []*exec.Cmd{cmd}, data
}

func openPostgres(socket string) keeper {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "host="+socket+" user=bench dbname=postgres pool_max_conns=32")
	must(err)
	retry(func() error { return pool.Ping(ctx) })
	_, err = pool.Exec(ctx, `CREATE TABLE events (customer text NOT NULL, type text NOT NULL, at timestamptz NOT NULL, properties jsonb NOT NULL);
		CREATE INDEX timeline ON events (customer, at)`)
	must(err)
	return func(ctx context.Context, events []event) error {
		if len(events) == 1 {
			e := &events[0]
			_, err := pool.Exec(ctx, `INSERT INTO events VALUES ($1, $2, $3, $4)`, e.IDs.Cookie, e.Type, e.time(), e.Properties)
			return err
		}
		var customers, types, properties []string
		var times []time.Time
		for i := range events {
			e := &events[i]
			customers, types = append(customers, e.IDs.Cookie), append(types, e.Type)
			times, properties = append(times, e.time()), append(properties, string(e.Properties))
		}
		_, err := pool.Exec(ctx, `INSERT INTO events SELECT c, t, a, p::jsonb
			FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[]) AS row (c, t, a, p)`, customers, types, times, properties)
		return err
	}
}
