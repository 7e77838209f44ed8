package control

import (
	"net"
	"sync"
	"time"

	"trackway"
	"trackway/internal/audit"
)

// Accept makes the address of a connection say who has connected. So the
// RemoteAddr of its requests is the name of a user of the operating system.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if peer, ok := conn.(*net.UnixConn); ok {
		return &personal{peer, person(personOf(peer))}, err
	}
	return conn, err
}

// personal is a connection of somebody who is known.
type personal struct {
	*net.UnixConn

	of person
}

func (p *personal) RemoteAddr() net.Addr { return p.of }

// person is the name of a user, as an address.
type person string

func (person) Network() string  { return "unix" }
func (p person) String() string { return string(p) }

// entry returns an entry of the audit log about the call.
func (c *call) entry(action audit.Action, target string) *audit.Entry {
	return &audit.Entry{Actor: c.r.RemoteAddr, Via: audit.Command, Action: action, Target: target, Outcome: audit.Allowed}
}

// recorded calls act after it has recorded the action.
func (c *call) recorded(action audit.Action, target string, act func() error) error {
	return c.Audit.Do(c.entry(action, target), act)
}

// takesOut records that a project's data is about to leave the server.
func (c *call) takesOut(p *trackway.Project, detail string) error {
	e := c.entry(audit.DataExport, "")
	e.Project, e.Detail = p.Name, detail
	return c.Audit.Add(e)
}

// imports tells the batches of one import from another import, so that each
// import makes an entry, and not each batch. The zero value is ready to use.
type imports struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// The next batch of an import comes sooner than this, unless it was
// interrupted.
const (
	importPause = 10 * time.Minute
	mostImports = 100
)

// begins reports whether a batch is the first one of an import.
func (i *imports) begins(now time.Time, of string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	last, known := i.seen[of]
	if i.seen == nil || !known && len(i.seen) >= mostImports {
		i.seen = make(map[string]time.Time)
	}
	i.seen[of] = now
	return !known || now.Sub(last) > importPause
}

// forget makes the next batch of an import the first one.
func (i *imports) forget(of string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.seen, of)
}

// recordImport records an import once, before its first batch is stored.
func (c *call) recordImport(project string) error {
	of := c.r.RemoteAddr + "\n" + project + "\n" + c.query.Get("from")
	if !c.imports.begins(time.Now(), of) {
		return nil
	}
	e := c.entry(audit.DataImport, "")
	e.Project = project
	if vendor := c.query.Get("from"); vendor != "" {
		e.Detail = "from " + vendor
	}
	err := c.Audit.Add(e)
	if err != nil {
		c.imports.forget(of)
	}
	return err
}
