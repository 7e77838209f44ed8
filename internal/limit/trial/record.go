package trial

import (
	"encoding/json"
	"slices"
	"strings"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/audit"
	"trackway/internal/limit"
	"trackway/internal/limit/traffic"
)

// Record returns what a record holds, as JSON. If there is an entry for the
// audit log, the body {"record":true} or {"record":false} first starts or stops
// recording.
func Record(r *traffic.Recorder, log *audit.Log, e *audit.Entry, body []byte) ([]byte, error) {
	if e != nil {
		var sent struct {
			Record *bool `json:"record"`
		}
		if err := json.Unmarshal(body, &sent); err != nil || sent.Record == nil {
			return nil, ask.Invalid("record", "true or false, in a JSON object")
		}
		e.Detail = map[bool]string{true: "on", false: "off"}[*sent.Record]
		if err := log.Do(e, func() error { return r.Switch(*sent.Record) }); err != nil {
			return nil, err
		}
	}
	h, err := r.Holding()
	if err != nil {
		return nil, err
	}
	return json.Marshal(h)
}

// Policy returns the policy of a set that has a name. The error is about the
// parameter "policy".
func Policy(set *limit.Set, name string) (trackway.Policy, error) {
	all := set.Policies()
	if i := slices.IndexFunc(all, func(p trackway.Policy) bool { return p.Name == name }); i >= 0 {
		return all[i], nil
	}
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	known := strings.Join(names, ", ")
	if name == "" {
		return trackway.Policy{}, ask.Invalid("policy", "one of "+known)
	}
	return trackway.Policy{}, &trackway.Error{Code: trackway.NotFound, Field: "policy", Msg: "There is no such policy, only " + known + "."}
}
