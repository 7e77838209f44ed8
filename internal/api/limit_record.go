package api

import (
	"encoding/json"
	"net/http"

	"trackway/internal/ask"
)

// record answers with what the record of calls holds and costs.
func (c *limiting) record() error {
	h, err := c.traffic.Holding()
	if err != nil {
		return err
	}
	return c.encoded(h)
}

// setRecord starts or stops recording calls.
func (c *limiting) setRecord() error {
	var sent struct {
		Record *bool `json:"record"`
	}
	if err := json.Unmarshal(c.body, &sent); err != nil || sent.Record == nil {
		return ask.Invalid("record", "true or false, in a JSON object")
	}
	if err := c.traffic.Switch(*sent.Record); err != nil {
		return err
	}
	h, err := c.traffic.Holding()
	if err != nil {
		return err
	}
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	c.w.Header()["Cache-Control"] = noStore
	return c.answer(http.StatusOK, body)
}
