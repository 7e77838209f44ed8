// Package members describes to operators the cluster that a server belongs to.
package members

import (
	"context"
	"time"

	"trackway/internal/partition/placement"
)

// Busy begins the error of a step of a plan while another plan is carried out.
const Busy = "another rebalance is under way"

// Cluster is what operators do with the cluster that this server belongs to.
type Cluster interface { //nolint:interfacebloat // all that operators do
	// Status returns what this server knows. It does not ask others.
	Status() Status

	// Init begins a new cluster, with this server as its only member.
	Init() error

	// Join makes this server a member of the cluster that the server at an
	// address belongs to; empty: those of the configuration. It gets its vote
	// once it has most of the log.
	Join(ctx context.Context, address string) error

	// Remove ends the membership of the server that has an id in the first
	// partition.
	Remove(ctx context.Context, id string) error

	// Transfer makes the leader of a partition hand leadership over to another
	// server; below 0: of each partition.
	Transfer(ctx context.Context, part int) error

	// Plan returns the steps after which each partition is on the servers that
	// should hold it, or, if that is so already, those after which they lead
	// about as many partitions as each other.
	Plan(ctx context.Context) (Plan, error)

	// Step carries out one step, and returns when it has ended.
	Step(ctx context.Context, s placement.Step) error

	// Recover makes this server the only member, after most were lost for good.
	Recover() error
}

// Plan is what is to be done so that partitions are where they should be.
type Plan struct {
	Steps      []placement.Step `json:"steps"`
	Leaderless []string         `json:"leaderless,omitempty"` // partitions without a leader, which stay as they are
}

// Status is what a server knows of its cluster. [Watch.Complete] fills in the
// last fields of it and of the members.
type Status struct {
	Log        string `json:"log"`        // raft or kafka
	Durability string `json:"durability"` // with kafka, where an acknowledged entry is; empty: unknown, or raft

	Name      string   `json:"name"`
	ID        string   `json:"id"`      // of this server
	Address   string   `json:"address"` // host:port at which the others reach it
	Ready     string   `json:"ready"`   // why it accepts no requests; empty: it accepts them
	Leader    string   `json:"leader"`  // host:port; empty: none is known
	Leading   bool     `json:"leading"` // this server is the leader
	Term      uint64   `json:"term"`
	Last      uint64   `json:"last"`       // index of the last entry in this server's log
	Commit    uint64   `json:"commit"`     // of the last one that most servers have
	Applied   uint64   `json:"applied"`    // of the last one in this server's data
	ContactMS int64    `json:"contact_ms"` // since the leader was heard; 0 at the leader
	Members   []Member `json:"members"`    // empty: this server is not a member yet
	Starting  bool     `json:"-"`          // it serves nobody before it has what the others have
	Level     Level    `json:"level"`      // how bad the trouble is
	Trouble   string   `json:"trouble"`    // what is wrong, and what follows from it; empty: nothing is

	// Each partition, if there are several. The fields above are those of the
	// first one, but Ready, Starting, Level and Trouble are of all.
	Partitions []Partition `json:"partitions,omitempty"`
}

// Partition is what a server knows of a partition.
type Partition struct {
	Number  int      `json:"partition"`
	ID      string   `json:"id"` // of this server, in the partition
	Leader  string   `json:"leader"`
	Leading bool     `json:"leading"`
	Term    uint64   `json:"term"`
	Last    uint64   `json:"last"`
	Commit  uint64   `json:"commit"`
	Applied uint64   `json:"applied"`
	Members []Member `json:"members"`
	Level   Level    `json:"level"`
	Trouble string   `json:"trouble"`
}

// Member is a server of the cluster.
type Member struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"`

	Applied uint64     `json:"applied"`        // the last entry in its data, when it answered last
	Behind  uint64     `json:"behind"`         // how many entries that another member has applied it lacked then
	Seconds *float64   `json:"behind_seconds"` // how long ago the first of them was applied; null: unknown
	Heard   *time.Time `json:"heard"`          // when it answered last; null: never, since this server started
	Silent  bool       `json:"silent"`         // it does not answer this server

	OffsetMS *int64 `json:"offset_ms"` // its clock less that of this server; null: unknown
	Unfit    string `json:"unfit"`     // why it takes no commands; empty: it does, as far as this server knows
	Differs  uint64 `json:"differs"`   // the digest in which its data differs from that of most servers; 0: none
}

// Level says how bad something is.
type Level string

// The levels.
const (
	Good Level = "good"
	Warn Level = "warn" // nothing is refused, but an operator should act
	Bad  Level = "bad"  // this server refuses commands
)
