package members

import (
	"fmt"
	"strings"
)

// farBehind is how many entries a member may lack without being named, if it
// lacks them for less than longBehind seconds.
const (
	farBehind  = 10_000
	longBehind = 30
)

// judge says in plain words what is wrong with a cluster, as this server sees
// it, and what follows from that.
func judge(s *Status) (Level, string) {
	if s.Log == "kafka" {
		return judgeOverKafka(s)
	}
	voters, names, leaderSilent := votes(s)
	self, silent := selfOf(s), len(names)
	spare, warn := (voters-1)/2, Warn
	if self != nil && self.Unfit != "" {
		warn = Bad
	}
	switch {
	case s.Starting:
		return Bad, "This server takes no calls yet: " + s.Ready + "."
	case self == nil:
		return Bad, "This server takes no commands: " + s.Ready + "."
	case (s.Leader == "" || leaderSilent) && silent > spare:
		return Bad, fmt.Sprintf("%d of %d servers %s not answer: commands are refused with 503, and reads go on. That ends once %d more %s. If they run, this server is cut off from them.",
			silent, voters, verb(silent, "does", "do"), silent-spare, verb(silent-spare, "answers", "answer"))
	case s.Leader == "":
		return Bad, "No server leads at the moment. Commands wait for an election, and are refused with 503 if that takes long. Reads go on."
	case leaderSilent:
		return Bad, s.Leader + " leads, but does not answer this server. Commands wait, and are refused with 503 if that takes long. Reads go on."
	case silent > spare && s.Leading:
		return Warn, fmt.Sprintf("%s %s not answer this server. It leads at the moment, but may not be able to store commands for long.", list(names), verb(silent, "does", "do"))
	case silent > spare:
		return Warn, fmt.Sprintf("%s %s not answer this server. The leader does, so commands are stored.", list(names), verb(silent, "does", "do"))
	case silent > 0:
		told := fmt.Sprintf("%s %s not answer. Nothing is lost, and commands are stored. %s", list(names), verb(silent, "does", "do"), next(spare-silent))
		return warn, strings.TrimSpace(told + " " + unfit(s)) // a server with other data stops
	case unfit(s) != "":
		return warn, unfit(s)
	case voters == 1:
		return Warn, "This cluster has one server with a vote. Nothing survives the loss of its disk: two others should join."
	case voters == 2:
		return Warn, "Two servers with a vote are no better than one: if either fails, commands are refused. A third one should join."
	}
	if slow := slow(s); slow != nil {
		return Warn, fmt.Sprintf("%s lacks %d entries. Reads there are old, and it may have to get the whole state. Its processor, disk or network may be too slow.",
			slow.Address, slow.Behind)
	}
	return Good, ""
}

// slow returns a member that is far behind, or nil.
func slow(s *Status) *Member {
	for i := range s.Members {
		m := &s.Members[i]
		if m.Voter && (m.Behind > farBehind || m.Seconds != nil && *m.Seconds > longBehind) {
			return m
		}
	}
	return nil
}

// judgeOverKafka is judge for servers whose log the brokers keep. Each of them
// stores commands without the others.
func judgeOverKafka(s *Status) (Level, string) {
	_, names, _ := votes(s)
	self, silent := selfOf(s), len(names)
	switch {
	case s.Starting:
		return Bad, "This server takes no calls yet: " + s.Ready + "."
	case self == nil, s.Ready != "" && self.Unfit == "":
		return Bad, "This server takes no commands: " + s.Ready + "."
	case self.Unfit != "":
		return Bad, unfit(s)
	case silent > 0:
		return Warn, fmt.Sprintf("%s %s not answer. Nothing is lost, and commands are stored. Entries stay in the topic until it has them, also those with erased data: start it, or remove it if it is lost for good.",
			list(names), verb(silent, "does", "do"))
	case s.Leader == "":
		return Warn, "No server leads at the moment, so destinations wait, and nothing expires. Commands are stored."
	case unfit(s) != "":
		return Warn, unfit(s)
	}
	if slow := slow(s); slow != nil {
		return Warn, fmt.Sprintf("%s lacks %d entries. Reads there are old. Its processor, disk or network may be too slow.", slow.Address, slow.Behind)
	}
	return Good, ""
}

// votes returns how many members have a vote, the addresses of those among them
// that are silent, and whether the leader is one of these.
func votes(s *Status) (voters int, silent []string, leaderSilent bool) {
	for i := range s.Members {
		m := &s.Members[i]
		if !m.Voter {
			continue
		}
		voters++
		if m.Silent {
			silent = append(silent, m.Address)
			leaderSilent = leaderSilent || m.Address == s.Leader
		}
	}
	return voters, silent, leaderSilent
}

// selfOf returns this server among the members, or nil if it is no member.
func selfOf(s *Status) *Member {
	for i := range s.Members {
		if s.Members[i].ID == s.ID {
			return &s.Members[i]
		}
	}
	return nil
}

// unfit says which members take no commands, or have other data.
func unfit(s *Status) string {
	var told []string
	for _, m := range s.Members {
		if m.Differs != 0 {
			told = append(told, fmt.Sprintf("%s has other data than most servers, as the digest of entry %d says. Remove it, empty its data directory, and let it join again.",
				m.Address, m.Differs))
		} else if m.Unfit != "" {
			told = append(told, fmt.Sprintf("%s takes no commands: %s", m.Address, strings.TrimSuffix(m.Unfit, ".")+"."))
		}
	}
	return strings.Join(told, " ")
}

// next says what happens if more servers fail than those that have.
func next(spare int) string {
	if spare == 0 {
		return "If one more server fails, commands are refused."
	}
	return fmt.Sprintf("%d more may fail.", spare)
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func list(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
