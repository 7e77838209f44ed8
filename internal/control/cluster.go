package control

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/control/members"
	"trackway/internal/partition/placement"
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
//	GET  /cluster/plan      the steps by which partitions come to where they should be
//	POST /cluster/step      carries out the step ?do= of ?partition= with ?server=
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
		"GET /cluster":           do(func(c *call) error { return c.json(c.Cluster.Status()) }),
		"POST /cluster/init":     change(audit.ClusterInit, "", func(c *call) error { return c.Cluster.Init() }),
		"POST /cluster/join":     change(audit.ClusterJoin, "at", func(c *call) error { return c.Cluster.Join(c.r.Context(), c.query.Get("at")) }),
		"POST /cluster/remove":   change(audit.ClusterRemove, "id", func(c *call) error { return c.Cluster.Remove(c.r.Context(), c.query.Get("id")) }),
		"POST /cluster/transfer": change(audit.ClusterTransfer, "partition", func(c *call) error { return c.transfer() }),
		"GET /cluster/plan":      do((*call).plan),
		"POST /cluster/step":     change(audit.ClusterRebalance, "server", (*call).step),
		"POST /cluster/recover":  change(audit.ClusterRecover, "", func(c *call) error { return c.Cluster.Recover() }),
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

// step carries out a step of a plan.
func (c *call) step() error {
	part, err := strconv.ParseUint(c.query.Get("partition"), 10, 8)
	if err != nil {
		return refuse("partition", "must be the number of a partition")
	}
	return c.Cluster.Step(c.r.Context(), placement.Step{Do: placement.Kind(c.query.Get("do")), Part: int(part), Server: c.query.Get("server")})
}

// plan answers the steps that are left.
func (c *call) plan() error {
	p, err := c.Cluster.Plan(c.r.Context())
	if err != nil {
		return err
	}
	p.Steps = append([]placement.Step{}, p.Steps...)
	return c.json(p)
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
