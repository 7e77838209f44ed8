package api

import (
	"trackway/internal/ask"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/watch"
)

const maxPage = 1_000_000

// limiting is a call about the limits.
type limiting struct {
	*call
	*limitFacts
}

// limitFacts is what those calls need.
type limitFacts struct {
	limits  *limit.Limiter
	history *history.Log
	watch   *watch.Watch
}

// changes answers one page of the changes of the limits, newest first.
func (c *limiting) changes() error {
	values := c.r.URL.Query()
	page, err := ask.Number(values, "page", 1, maxPage)
	if err != nil {
		return err
	}
	rows, err := ask.Number(values, "rows", ask.UsualRows, ask.MaxRows)
	if err != nil {
		return err
	}
	all := c.history.Changes()
	first := min((page-1)*rows, len(all))
	return c.encoded(struct {
		Page    int              `json:"page"`
		Pages   int              `json:"total"`
		PerPage int              `json:"rowsperpage"`
		Records int              `json:"records"`
		Rows    []history.Change `json:"rows"`
	}{page, (len(all) + rows - 1) / rows, rows, len(all), append([]history.Change{}, all[first:min(first+rows, len(all))]...)})
}
