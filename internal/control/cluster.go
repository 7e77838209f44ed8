package control

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/control/members"
	"trackway/internal/partition/balance"
)

// errAlone is the answer of a server that stands alone.
const errAlone = "The configuration of this server has no cluster."

// clusterRoutes are the routes that a server of a cluster has from the first
// moment:
//
//	GET  /cluster           a [members.Status]
//	POST /cluster/init      begins a cluster
//	POST /cluster/join      joins the one of the server ?at=
//	POST /cluster/remove    removes the server ?id=
//	POST /cluster/transfer  hands leadership over, of ?partition= or of all
//	POST /cluster/rebalance makes servers lead about as many partitions; ?dry=true: says how
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
	change := func(action audit.Action, target string, f func(*call) error) func(*call) error {
		return do(func(c *call) error {
			return c.recorded(action, c.query.Get(target), func() error { return f(c) })
		})
	}
	return map[string]func(*call) error{
		"GET /cluster":            do(func(c *call) error { return c.json(c.Cluster.Status()) }),
		"POST /cluster/init":      change(audit.ClusterInit, "", func(c *call) error { return c.Cluster.Init() }),
		"POST /cluster/join":      change(audit.ClusterJoin, "at", func(c *call) error { return c.Cluster.Join(c.r.Context(), c.query.Get("at")) }),
		"POST /cluster/remove":    change(audit.ClusterRemove, "id", func(c *call) error { return c.Cluster.Remove(c.r.Context(), c.query.Get("id")) }),
		"POST /cluster/transfer":  change(audit.ClusterTransfer, "partition", func(c *call) error { return c.transfer() }),
		"POST /cluster/rebalance": do(func(c *call) error { return c.rebalance() }),
		"POST /cluster/recover":   change(audit.ClusterRecover, "", func(c *call) error { return c.Cluster.Recover() }),
	}
}

// transfer makes the leader of a partition hand leadership over, or those of
// all.
func (c *call) transfer() error {
	part := -1
	if text := c.query.Get("partition"); text != "" {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil {
			return refuse("partition", "must be the number of a partition")
		}
		part = int(n)
	}
	return c.Cluster.Transfer(c.r.Context(), part)
}

// rebalance answers which partitions got another leader.
func (c *call) rebalance() (err error) {
	var moves []balance.Move
	if dry := c.query.Get("dry") == "true"; dry {
		moves, err = c.Cluster.Rebalance(c.r.Context(), true)
	} else {
		err = c.recorded(audit.ClusterRebalance, "", func() error {
			moves, err = c.Cluster.Rebalance(c.r.Context(), false)
			return err
		})
	}
	if err != nil {
		return err
	}
	return c.json(struct {
		Moves []balance.Move `json:"moves"`
	}{append([]balance.Move{}, moves...)})
}

// Waiting returns the routes of the control socket while the server waits for
// its cluster: those of the cluster. It refuses all others.
func Waiting(cluster members.Cluster, log *audit.Log, logger *slog.Logger) http.Handler {
	mux, c := http.NewServeMux(), &Config{Cluster: cluster, Audit: log, Logger: logger}
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
