package api

import (
	"fmt"
	"strconv"

	"trackway"
	"trackway/internal/limit/history"
)

const (
	usualRows = 100
	maxRows   = 1000
	maxPage   = 1_000_000
)

// changes answers one page of what was changed about the limits, the newest first.
func (c *call) changes() error {
	page, err := c.number("page", 1, maxPage)
	if err != nil {
		return err
	}
	rows, err := c.number("rows", usualRows, maxRows)
	if err != nil {
		return err
	}
	all := c.History.Changes()
	first := min((page-1)*rows, len(all))
	return c.encoded(struct {
		Page    int              `json:"page"`
		Pages   int              `json:"total"`
		PerPage int              `json:"rowsperpage"`
		Records int              `json:"records"`
		Rows    []history.Change `json:"rows"`
	}{page, (len(all) + rows - 1) / rows, rows, len(all), append([]history.Change{}, all[first:min(first+rows, len(all))]...)})
}

// number returns a parameter of the query that is a whole number from 1 to most.
func (c *call) number(name string, absent, most int) (int, error) {
	query := c.r.URL.Query()
	if !query.Has(name) {
		return absent, nil
	}
	n, err := strconv.Atoi(query.Get(name))
	if err != nil || n < 1 || n > most {
		return 0, &trackway.Error{
			Code: trackway.Invalid, Field: name, Msg: fmt.Sprintf("Field '%s': expected a whole number from 1 to %d.", name, most),
		}
	}
	return n, nil
}
