package dashboard

import (
	"errors"
	"fmt"

	"trackway"
	"trackway/internal/partition"
)

// apart gathers the projects that an answer about several leaves out. In a
// cluster, their data may be on other servers, and none of these answers. The
// answer has the others.
type apart struct {
	partitions map[int]bool // whose servers do not answer
	missing    []string     // tokens
}

// each calls read for a project, and notes if its data cannot be had. It does
// not wait twice for the servers of a partition.
func (a *apart) each(p *trackway.Project, read func() error) error {
	part := partition.Of(p.Number)
	err := errNoHolder
	if !a.partitions[part] {
		err = read()
	}
	known, is := errors.AsType[*trackway.Error](err)
	if !is || known.Code != trackway.Overloaded || errors.Is(err, errSlow) {
		return err
	}
	if a.partitions == nil {
		a.partitions = make(map[int]bool)
	}
	a.partitions[part] = true
	a.missing = append(a.missing, p.Token)
	return nil
}

var errNoHolder = fmt.Errorf("no server that holds the data answers: %w", &trackway.Error{Code: trackway.Overloaded})
