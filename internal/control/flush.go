package control

import "net/http"

// flush writes what was recorded of calls to the disk.
func (c *call) flush() error {
	if err := c.Flush(); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}
