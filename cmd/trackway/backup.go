package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"trackway/cmd/trackway/command"
	"trackway/internal/app"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/control"
	"trackway/internal/datadir"
	"trackway/internal/partition"
	"trackway/internal/running"
	"trackway/internal/terminal"
)

type backupCommand struct {
	dataFlags

	Dir  string `arg:"" help:"Directory of backups, created if it is missing. Best on another disk." placeholder:"DIR"`
	Keep int    `default:"3" help:"How many backups to keep there, including this one; older ones are removed (${default})." placeholder:"N"`
	Held bool   `help:"In a cluster: back up only the partitions that this server holds, and not those of other servers."`
}

// Run backs up the running server with its whole cluster, or the data of a
// stopped one.
func (c *backupCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	return c.with(ctx, out, false, func(client *http.Client) error {
		query := url.Values{"dir": {dir}, "keep": {strconv.Itoa(c.Keep)}, "held": {strconv.FormatBool(c.Held)}}
		answer, err := running.Control(ctx, client, http.MethodPost, "/backup", query, nil, 0)
		if err != nil {
			return err
		}
		defer answer.Close()
		var b control.Backup
		if err := json.NewDecoder(answer).Decode(&b); err != nil {
			return fmt.Errorf("the server's answer was cut off: %w", err)
		}
		terminal.Say(out.stdout, "Backed up to %s: everything up to %s, %s in %d files (%d written, the others shared). Backups there: %d.\n",
			b.Path, through(b.Seq, b.Seqs, b.Left), terminal.Size(b.Bytes), b.Files, b.Copied, b.Generations)
		for _, part := range b.Left {
			terminal.Say(out.stdout, "Partition %s is not in it: other servers hold it.\n", partition.Name(part))
		}
		for _, part := range b.Unsure {
			terminal.Say(out.stdout, "No server has answered that surely has all of partition %s: what came last may be missing.\n", partition.Name(part))
		}
		terminal.Say(out.stdout, "The configuration is not in it, because it holds secrets: keep %s elsewhere.\n", c.Config)
		return nil
	})
}

type restoreCommand struct {
	dataFlags

	Backup string `arg:"" help:"A directory of backups (the newest one is restored), or one backup in it." placeholder:"DIR"`
}

// Run makes a data directory from a backup. With --data it needs no
// configuration.
func (c *restoreCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	dir := c.DataDir
	if dir == "" {
		cfg, err := config.LoadElsewhere(c.Config, config.Flags{}, app.CheckLimits)
		if err != nil {
			return fmt.Errorf("%w; or name the directory with --data", err)
		}
		dir = cfg.DataDir
	}
	b, err := datadir.Restore(ctx, c.Backup, dir)
	if err != nil {
		return err
	}
	e := command.Entry(audit.BackupRestore, b.Path)
	e.Outcome = audit.Done
	command.Log(dir, out.stderr).Note(e)
	var bytes int64
	var seqs []uint64
	for i := range b.Parts {
		bytes += b.Parts[i].Bytes
		seqs = append(seqs, b.Parts[i].Seq)
	}
	terminal.Say(out.stdout, "Restored %s of %s to %s: everything up to %s, %s. All of it was read and found whole.\n",
		b.Path, b.Parts[0].At.Local().Format("2006-01-02 15:04:05"), dir, through(seqs[0], seqs, nil), terminal.Size(bytes))
	if b.Newer != "" {
		terminal.Say(out.stdout, "The newer backup %s was passed over, because it lacks partitions.\n", b.Newer)
	}
	if b.Apart() {
		terminal.Say(out.stdout, "No backup there has all partitions, so these were not backed up together:\n")
		for part := range b.Parts {
			terminal.Say(out.stdout, "  %s is of %s.\n", partition.Name(part), b.Parts[part].At.Local().Format("2006-01-02 15:04:05"))
		}
	}
	if len(seqs) > 1 {
		terminal.Say(out.stdout, "It needs the setting partitions: %d.\n", len(seqs))
	}
	return nil
}

// through names the last change of a backup, or the last one of each partition
// that is not left out.
func through(seq uint64, parts []uint64, left []int) string {
	if len(parts) < 2 {
		return fmt.Sprintf("change %d", seq)
	}
	var text []string
	for i, seq := range parts {
		if !slices.Contains(left, i) {
			text = append(text, fmt.Sprintf("change %d of %s", seq, partition.Name(i)))
		}
	}
	return strings.Join(text, ", ")
}
