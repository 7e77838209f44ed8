package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// plan is one run: the same events into each variant, in turns.
type plan struct {
	dir       string
	events    uint64
	customers uint64
	byGet     bool
	modes     []string      // of reading
	budget    time.Duration // of filling, for each variant: who has used it up gets no more turns
}

const (
	parts = 10 // of a run, whose rates are compared
	turns = 10 // of a part: how often the variants take turns
)

// result is all that was measured of one variant.
type result struct {
	Variant   string
	Events    uint64  // written, copies included; fewer than asked for if the time ran out
	Generator float64 // nanoseconds that making an event took, which is part of the rates
	Parts     [parts]filled
	Settled   *sizes // after the compactions that Pebble wants
	Reads     []reads
	Compacted *sizes // after a compaction of everything
}

// contender is a variant's place in the run.
type contender struct {
	result
	dir    string
	cmd    *exec.Cmd
	asks   *json.Encoder
	hears  *json.Decoder
	closer io.Closer
}

func (p *plan) measure(names []string) (results []*result, err error) {
	var all []*contender
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.end())
		}
	}()
	generator := p.generator()
	for _, name := range names {
		c, err := p.start(name)
		if err != nil {
			return nil, err
		}
		c.Generator = generator
		all, results = append(all, c), append(results, &c.result)
	}
	if err := p.fill(all); err != nil {
		return nil, err
	}
	for _, c := range all {
		if err := c.ask(request{Do: "settle"}, &c.Settled); err != nil {
			return nil, err
		}
	}
	if err := p.read(all); err != nil {
		return nil, err
	}
	for _, c := range all {
		if err := c.ask(request{Do: "compact"}, &c.Compacted); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// generator returns how many nanoseconds the making of one event takes.
func (p *plan) generator() float64 {
	const n = 300_000
	var e event
	start, size := time.Now(), 0
	for i := range uint64(n) {
		e.fill(i, p.customers)
		size += len(e.props)
	}
	fmt.Fprintf(os.Stderr, "properties of an event: %d bytes\n", size/n)
	return float64(time.Since(start).Nanoseconds()) / n
}

func (p *plan) start(name string) (*contender, error) {
	v, err := variantByName(name)
	if err != nil {
		return nil, err
	}
	c := &contender{dir: filepath.Join(p.dir, v.name), result: result{Variant: v.name}}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	c.cmd = exec.Command(os.Args[0], append(p.args(c), "-worker", v.name)...) //nolint:gosec,noctx // G204: this program; ended by end
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.asks, c.hears, c.closer = json.NewEncoder(in), json.NewDecoder(out), in
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	return c, c.cmd.Process.Signal(unix.SIGSTOP)
}

func (p *plan) args(c *contender) []string {
	return []string{
		"-dir", c.dir, "-by-get=" + strconv.FormatBool(p.byGet),
		"-events", strconv.FormatUint(c.Events, 10), "-customers", strconv.FormatUint(p.customers, 10),
	}
}

// ask wakes the process, has it do one thing, and puts it to sleep again in the midst of whatever it does besides.
func (c *contender) ask(r request, answer any) error {
	if err := c.cmd.Process.Signal(unix.SIGCONT); err != nil {
		return err
	}
	if err := c.asks.Encode(r); err != nil {
		return fmt.Errorf("%s: %w", c.Variant, err)
	}
	if err := c.hears.Decode(answer); err != nil {
		return fmt.Errorf("%s: %s: %w", c.Variant, r.Do, err)
	}
	return c.cmd.Process.Signal(unix.SIGSTOP)
}

// end closes the store and removes its files.
func (c *contender) end() error {
	err := errors.Join(c.cmd.Process.Signal(unix.SIGCONT), c.asks.Encode(request{Do: "close"}), c.closer.Close())
	return errors.Join(err, c.cmd.Wait(), os.RemoveAll(c.dir))
}

func (p *plan) fill(all []*contender) error {
	for part := range parts {
		for slice := range turns {
			n := uint64(part*turns + slice)
			from, to := p.events*n/(parts*turns), p.events*(n+1)/(parts*turns)
			for i := range all {
				c := all[(i+slice)%len(all)]
				if c.total().Seconds > p.budget.Seconds() {
					continue
				}
				var f filled
				if err := c.ask(request{Do: "fill", From: from, To: to}, &f); err != nil {
					return err
				}
				c.Parts[part].add(f)
				c.Events = to
			}
		}
		for _, c := range all {
			fmt.Fprintf(os.Stderr, "part %d %s: %.1f s, %.1f s of CPU\n", part+1, c.Variant, c.Parts[part].Seconds, c.Parts[part].CPUSeconds)
		}
	}
	return nil
}

func (f *filled) add(g filled) {
	f.Events += g.Events
	f.Seconds += g.Seconds
	f.CPUSeconds += g.CPUSeconds
	f.Longest = max(f.Longest, g.Longest)
	f.Duplicates += g.Duplicates
	f.Stalls += g.Stalls
	f.Stalled += g.Stalled
}

// read has a new process read each variant in each mode, on a checkpoint, since the writer keeps its directory's lock.
func (p *plan) read(all []*contender) error {
	for _, mode := range p.modes {
		for _, c := range all {
			copied := filepath.Join(c.dir, "reading")
			if err := c.ask(request{Do: "checkpoint"}, new(string)); err != nil {
				return err
			}
			args := append(p.args(c), "-reader", c.Variant+":"+mode)
			args[1] = copied
			cmd := exec.Command(os.Args[0], args...) //nolint:gosec,noctx // G204: this program, which ends by itself
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				return fmt.Errorf("%s: read: %w", c.Variant, err)
			}
			var r reads
			if err := errors.Join(json.Unmarshal(out, &r), os.RemoveAll(copied)); err != nil {
				return err
			}
			c.Reads = append(c.Reads, r)
			fmt.Fprintf(os.Stderr, "%s %+v\n", c.Variant, r)
		}
	}
	return nil
}
