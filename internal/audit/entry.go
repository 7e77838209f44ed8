package audit

import (
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Entry is one line of the audit log. All texts are for people to read, and are
// cut if they are long.
type Entry struct {
	N       uint64    `json:"n"`                 // counts the entries; [Log] sets it
	At      time.Time `json:"at"`                // UTC; [Log] sets it if it is zero
	Actor   string    `json:"actor,omitempty"`   // a user, a key, or a user of the operating system; empty: the server
	Via     Via       `json:"via"`               // how the actor has asked for it
	Address string    `json:"address,omitempty"` // of the actor, as [AddressText] writes it; empty: unknown
	Action  Action    `json:"action"`
	Project string    `json:"project,omitempty"` // its name; empty: it is about no single project
	Target  string    `json:"target,omitempty"`  // whom or what it was done to, such as a user or "customer 17"
	Outcome Outcome   `json:"outcome"`
	Count   uint64    `json:"count,omitempty"` // if the entry stands for several
	Detail  string    `json:"detail,omitempty"`
}

// Via says how an actor has asked for an action.
type Via string

// The ways.
const (
	Page    Via = "page"    // a user, or somebody with the one password, for whom Actor is empty
	Command Via = "command" // a user of the operating system, by a command
	API     Via = "api"     // a program, by the private key whose name is Actor
	Signal  Via = "signal"  // SIGHUP
	Ops     Via = "ops"     // the operator's listener, which has no keys
	Server  Via = "server"  // the server itself
)

// Outcome says what came of an action.
type Outcome string

// The outcomes.
const (
	Allowed Outcome = "allowed" // the server went on to do it: if it fails, another entry says so
	Done    Outcome = "done"    // it had happened when the entry was written
	Refused Outcome = "refused"
	Failed  Outcome = "failed"
)

// Action says what was done. The part before the dot is its group.
type Action string

// The actions.
const (
	None Action = ""

	SignIn       Action = "session.sign-in"
	SignInFailed Action = "session.refused" // gathered: see [Log.SignInFailed]
	SignOut      Action = "session.sign-out"
	SessionEnd   Action = "session.end" // by somebody else, or of other sessions of one's own

	UserAdd      Action = "user.add"
	UserChange   Action = "user.change" // its roles
	UserRemove   Action = "user.remove"
	UserPassword Action = "user.password"
	UserReload   Action = "user.reload"

	KeyAdd    Action = "key.add"
	KeyRotate Action = "key.rotate"
	KeyRevoke Action = "key.revoke"

	ConfigReload Action = "config.reload"
	ConfigChange Action = "config.change" // of what the program keeps: Target is the section, Detail the names

	DataExport    Action = "data.export"
	DataImport    Action = "data.import"
	DataAnonymize Action = "data.anonymize"

	RecordSwitch Action = "record.switch"

	DestinationPause  Action = "destination.pause"
	DestinationResume Action = "destination.resume"
	DestinationRewind Action = "destination.rewind"
	DestinationMend   Action = "destination.mend"

	AlarmTest Action = "alarm.test"

	BackupMake    Action = "backup.make"
	BackupRestore Action = "backup.restore"
	StoreSalvage  Action = "backup.salvage"

	ClusterInit      Action = "cluster.init"
	ClusterJoin      Action = "cluster.join"
	ClusterRemove    Action = "cluster.remove"
	ClusterTransfer  Action = "cluster.transfer"
	ClusterRebalance Action = "cluster.rebalance"
	ClusterRecover   Action = "cluster.recover"

	ServerStart Action = "server.start"
	ServerStop  Action = "server.stop"

	Trimmed  Action = "audit.trim"   // old entries were removed
	Repaired Action = "audit.repair" // the end of the file was no whole entry
	Missed   Action = "audit.missed" // entries could not be written
)

// AddressText returns an address as entries have it. It is empty if the address
// is unknown.
func AddressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// The lengths of texts in an entry, in bytes. A line is shorter than maxLine.
const (
	maxText   = 200
	maxDetail = 1000
	maxLine   = 16 << 10
)

// clean returns an entry as it is written.
func (e Entry) clean(now time.Time) Entry {
	if e.At.IsZero() {
		e.At = now
	}
	e.At = e.At.UTC().Truncate(time.Millisecond)
	for _, text := range []*string{&e.Actor, &e.Address, &e.Project, &e.Target} {
		*text = short(*text, maxText)
	}
	e.Detail = short(e.Detail, maxDetail)
	return e
}

// short returns a text of a line and of a bounded length.
func short(text string, most int) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "�"))
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// in reports whether an action is one of those that were asked for: by its
// name, or by its group.
func (a Action) in(asked []string) bool {
	group, _, _ := strings.Cut(string(a), ".")
	return len(asked) == 0 || slices.Contains(asked, string(a)) || slices.Contains(asked, group)
}
