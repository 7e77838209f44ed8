package control

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"trackway"
)

// Cluster is what operators do with the cluster that this server belongs to.
type Cluster interface {
	// Status returns what this server knows. It does not ask others.
	Status() ClusterStatus

	// Init begins a new cluster, with this server as its only member.
	Init() error

	// Join makes this server a member of the cluster that the server at an
	// address belongs to; empty: those of the configuration. It gets its vote
	// once it has most of the log.
	Join(ctx context.Context, address string) error

	// Remove ends the membership of a server.
	Remove(ctx context.Context, id string) error

	// Transfer makes the leader hand leadership over to another server.
	Transfer(ctx context.Context) error

	// Recover makes this server the only member, after most were lost for good.
	Recover() error
}

// ClusterStatus is what a server knows of its cluster.
type ClusterStatus struct {
	Name      string          `json:"name"`
	ID        string          `json:"id"`      // of this server
	Address   string          `json:"address"` // host:port at which the others reach it
	Ready     string          `json:"ready"`   // why it accepts no requests; empty: it accepts them
	Leader    string          `json:"leader"`  // host:port; empty: none is known
	Leading   bool            `json:"leading"` // this server is the leader
	Term      uint64          `json:"term"`
	Last      uint64          `json:"last"`       // index of the last entry in this server's log
	Commit    uint64          `json:"commit"`     // of the last one that most servers have
	Applied   uint64          `json:"applied"`    // of the last one in this server's data
	ContactMS int64           `json:"contact_ms"` // since the leader was heard; 0 at the leader
	Members   []ClusterMember `json:"members"`    // empty: this server is not a member yet
}

// ClusterMember is a server of the cluster.
type ClusterMember struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"`
}

// errAlone is the answer of a server that stands alone.
const errAlone = "The configuration of this server has no cluster."

// clusterRoutes are the routes that a server of a cluster has from the first
// moment:
//
//	GET  /cluster           a [ClusterStatus]
//	POST /cluster/init      begins a cluster
//	POST /cluster/join      joins the one of the server ?at=
//	POST /cluster/remove    removes the server ?id=
//	POST /cluster/transfer  hands leadership over
//	POST /cluster/recover   makes this server the only member
func clusterRoutes() map[string]func(*call) error {
	do := func(f func(*call) error) func(*call) error {
		return func(c *call) error {
			if c.Cluster == nil {
				return refuse("", errAlone)
			}
			err := f(c)
			if _, known := errors.AsType[*trackway.Error](err); err == nil || known {
				return err
			}
			return refuse("", err.Error())
		}
	}
	return map[string]func(*call) error{
		"GET /cluster":           do(func(c *call) error { return c.json(c.Cluster.Status()) }),
		"POST /cluster/init":     do(func(c *call) error { return c.Cluster.Init() }),
		"POST /cluster/join":     do(func(c *call) error { return c.Cluster.Join(c.r.Context(), c.query.Get("at")) }),
		"POST /cluster/remove":   do(func(c *call) error { return c.Cluster.Remove(c.r.Context(), c.query.Get("id")) }),
		"POST /cluster/transfer": do(func(c *call) error { return c.Cluster.Transfer(c.r.Context()) }),
		"POST /cluster/recover":  do(func(c *call) error { return c.Cluster.Recover() }),
	}
}

// Waiting returns the routes of the control socket while the server waits for
// its cluster: those of the cluster. It refuses all others.
func Waiting(cluster Cluster, logger *slog.Logger) http.Handler {
	mux, c := http.NewServeMux(), &Config{Cluster: cluster, Logger: logger}
	routes := clusterRoutes()
	routes["/"] = func(*call) error {
		return refuse("", "This server waits for its cluster: trackway cluster status says for what.")
	}
	for pattern, do := range routes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			(&call{Config: c, w: w, r: r, query: r.URL.Query()}).answer(do)
		})
	}
	return mux
}
