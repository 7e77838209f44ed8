package dashboard

import (
	"encoding/json"
	"slices"
	"time"

	"trackway/internal/control/members"
)

// cluster returns what this server knows of its cluster, or nil if it stands
// alone.
func (s *Server) cluster() *members.Status {
	if s.Cluster == nil {
		return nil
	}
	status := s.Cluster()
	inSeconds(status.Members)
	for i := range status.Partitions {
		inSeconds(status.Partitions[i].Members)
	}
	return &status
}

func inSeconds(all []members.Member) {
	for i := range all {
		if m := &all[i]; m.Heard != nil {
			at := m.Heard.UTC().Truncate(time.Second)
			m.Heard = &at
		}
	}
}

// steadyCluster returns a status without what changes all the time.
func steadyCluster(s *members.Status) *members.Status {
	if s == nil {
		return nil
	}
	steady := *s
	steady.Last, steady.Commit, steady.Applied, steady.ContactMS = 0, 0, 0, 0
	steady.Members = steadyMembers(s.Members)
	steady.Partitions = slices.Clone(s.Partitions)
	for i := range steady.Partitions {
		p := &steady.Partitions[i]
		p.Last, p.Commit, p.Applied, p.Members = 0, 0, 0, steadyMembers(p.Members)
	}
	return &steady
}

func steadyMembers(all []members.Member) []members.Member {
	all = slices.Clone(all)
	for i := range all {
		m := &all[i]
		m.Applied, m.Behind, m.Seconds, m.Heard, m.OffsetMS = 0, 0, nil, nil, nil
	}
	return all
}

// clusterEvery is how many ticks lie between two looks at the cluster: this
// server asks the others at that pace.
const clusterEvery = 2

// cluster writes what is known of the cluster, if that has changed. Only the
// overview shows it, which does not get events.
func (st *stream) cluster() {
	if st.Cluster == nil || st.events || st.ticks%clusterEvery != 0 {
		return
	}
	data, err := json.Marshal(st.Server.cluster())
	if err != nil || string(data) == string(st.told) {
		return // it cannot fail
	}
	st.told = data
	st.b = append(append(append(st.b, "event: cluster\ndata: "...), data...), "\n\n"...)
}
