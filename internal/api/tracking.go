package api

import (
	"net/http"
	"time"

	"trackway"
	"trackway/internal/format/tracking"
)

// systemTime answers what time it is. Clients use it to check their credentials.
func (c *call) systemTime() error {
	return c.answer(http.StatusOK, tracking.AppendTime(nil, trackway.MicrosOf(c.received)))
}

// success is the answer to a single command that was carried out.
var success = tracking.AppendResult(nil, nil)

// single returns the handler of a command that is sent alone.
func single(name string) func(*call) error {
	return func(c *call) error {
		at := trackway.MicrosOf(c.received)
		cmd, refused := tracking.DecodeCommand(name, c.body, at)
		c.sent.Decoded()
		if refused == nil {
			refused = mayNot(c.grant.Key, &cmd)
		}
		cmds, results := []trackway.Command{cmd}, []trackway.Result{{Err: refused}}
		if err := c.Ingest.Accept(c.grant.Project, at, cmds, results); err != nil {
			return err
		}
		c.noteLeftOut(name, cmd.Type, cmds[0].LeftOut)
		if results[0].Err != nil {
			c.countCommands(0, 1)
			c.noteRefused(name, &cmd, results[0].Err)
			return results[0].Err
		}
		c.countCommands(1, 0)
		c.watchSent(cmd.Type)
		return c.answer(http.StatusOK, success)
	}
}

// batch carries out up to 50 commands and answers for each.
func (c *call) batch() error {
	at := trackway.MicrosOf(c.received)
	items, refused := tracking.DecodeBatch(c.body, at)
	c.sent.Decoded()
	if refused != nil {
		refused = &trackway.Error{Code: refused.Code, Msg: tracking.Text(refused)} // the batch as a whole: whatever field it names
		items = []tracking.Item{{Err: refused}}                         // which is counted as one
	}
	if err := c.carryOut(at, items); err != nil {
		return err
	}
	if refused != nil {
		c.countCommands(0, 1)
		c.noteCall(refused)
		return refused
	}
	c.tell(items)
	if c.watched != nil {
		c.watchSent(typesOf(items)...)
	}
	const perResult = 24
	answer := make([]byte, 0, 128+perResult*len(items))
	return c.answer(http.StatusOK, tracking.AppendBatch(answer, items, at, trackway.MicrosOf(time.Now())))
}

// tell counts the commands and shows those that were refused.
func (c *call) tell(items []tracking.Item) {
	var accepted, refused int
	for i := range items {
		switch it := &items[i]; {
		case it.Err != nil:
			refused++
			c.noteRefused(it.Name, &it.Command, it.Err)
		case !it.Time:
			accepted++
		}
	}
	c.countCommands(accepted, refused)
}

// carryOut passes on those items that are commands, and notes at each what it failed by.
func (c *call) carryOut(at trackway.Micros, items []tracking.Item) error {
	cmds := make([]trackway.Command, 0, len(items))
	results := make([]trackway.Result, 0, len(items))
	places := make([]int, 0, len(items))
	for i := range items {
		if !items[i].Time {
			if items[i].Err == nil {
				items[i].Err = mayNot(c.grant.Key, &items[i].Command)
			}
			cmds = append(cmds, items[i].Command)
			results = append(results, trackway.Result{Err: items[i].Err})
			places = append(places, i)
		}
	}
	if err := c.Ingest.Accept(c.grant.Project, at, cmds, results); err != nil {
		return err
	}
	for i, place := range places {
		items[place].Err = results[i].Err
		c.noteLeftOut(items[place].Name, items[place].Command.Type, cmds[i].LeftOut)
	}
	return nil
}
