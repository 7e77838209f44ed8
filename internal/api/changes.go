package api

import (
	"trackway/internal/ask"
	"trackway/internal/limit/history"
)

const maxPage = 1_000_000

// changes answers one page of what was changed about the limits, the newest first.
func (c *call) changes() error {
	values := c.r.URL.Query()
	page, err := ask.Number(values, "page", 1, maxPage)
	if err != nil {
		return err
	}
	rows, err := ask.Number(values, "rows", ask.UsualRows, ask.MaxRows)
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
