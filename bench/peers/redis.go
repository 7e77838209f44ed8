package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/redis/rueidis"

	"trackway/bench/running"
)

func startRedis(dir string) (needs []*exec.Cmd, address string) {
	socket := filepath.Join(dir, "redis.sock")
	cmd := running.Command("redis-server", "--port", "0", "--unixsocket", socket, "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--loglevel", "warning")
	must(cmd.Start())
	return []*exec.Cmd{cmd}, socket
}

func openRedis(socket string) keeper {
	option := rueidis.MustParseURL("unix://" + socket)
	option.DisableCache = true
	var client rueidis.Client
	retry(func() (err error) {
		client, err = rueidis.NewClient(option)
		return err
	})
	return func(ctx context.Context, events []event) error {
		commands := make(rueidis.Commands, len(events))
		for i := range events {
			e := &events[i]
			value := fmt.Sprintf(`{"type":%q,"at":%.6f,"properties":%s}`, e.Type, e.Timestamp, e.Properties)
			commands[i] = client.B().Rpush().Key("events:" + e.IDs.Cookie).Element(value).Build()
		}
		for _, res := range client.DoMulti(ctx, commands...) {
			if err := res.Error(); err != nil {
				return err
			}
		}
		return nil
	}
}
