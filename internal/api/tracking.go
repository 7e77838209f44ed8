package api

import (
	"net/http"
	"time"

	"trackway"
	"trackway/internal/wire"
)

// systemTime answers what time it is. Clients use it to check their credentials.
func (c *call) systemTime() error {
	return c.answer(http.StatusOK, wire.AppendTime(nil, trackway.MicrosOf(c.received)))
}

// success is the answer to a single command that was carried out.
var success = wire.AppendResult(nil, nil)

// single returns the handler of a command that is sent alone.
func single(name string) func(*call) error {
	return func(c *call) error {
		cmd, refused := wire.DecodeCommand(name, c.body, trackway.MicrosOf(c.received))
		if refused != nil {
			return refused
		}
		cmds, results := []trackway.Command{cmd}, make([]trackway.Result, 1)
		if err := c.Ingest.Accept(c.grant.Project, cmds, results); err != nil {
			return err
		}
		if results[0].Err != nil {
			return results[0].Err
		}
		return c.answer(http.StatusOK, success)
	}
}

// batch carries out up to 50 commands and answers for each.
func (c *call) batch() error {
	items, refused := wire.DecodeBatch(c.body, trackway.MicrosOf(c.received))
	if refused != nil {
		return &trackway.Error{Code: refused.Code, Msg: refused.Msg} // the batch as a whole: whatever field it names
	}
	if err := c.carryOut(items); err != nil {
		return err
	}
	const perResult = 24
	answer := make([]byte, 0, 128+perResult*len(items))
	return c.answer(http.StatusOK, wire.AppendBatch(answer, items, trackway.MicrosOf(c.received), trackway.MicrosOf(time.Now())))
}

// carryOut passes on those items that are commands, and notes at each what it failed by.
func (c *call) carryOut(items []wire.Item) error {
	cmds := make([]trackway.Command, 0, len(items))
	places := make([]int, 0, len(items))
	for i := range items {
		if items[i].Err == nil && !items[i].Time {
			cmds = append(cmds, items[i].Command)
			places = append(places, i)
		}
	}
	results := make([]trackway.Result, len(cmds))
	if err := c.Ingest.Accept(c.grant.Project, cmds, results); err != nil {
		return err
	}
	for i, place := range places {
		items[place].Err = results[i].Err
	}
	return nil
}
