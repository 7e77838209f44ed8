package erased

import (
	"slices"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/query"
)

// WithoutPersonal returns what is left of the event's properties, nil if nothing has to go. Of a merge the identifiers go, also
// where it came from a client: it may be the record of a merge of another server, which was exported and imported.
func WithoutPersonal(event *trackway.Event, personal []string) []byte {
	properties := canonjson.SplitObject(event.Properties)
	kept := slices.DeleteFunc(slices.Clone(properties), func(p trackway.Property) bool {
		return slices.Contains(personal, p.Name) || event.Type == trackway.MergeType && holdsIDs(p)
	})
	if len(kept) == len(properties) {
		return nil
	}
	return canonjson.AppendObject(nil, kept)
}

// holdsIDs tells whether a property of a merge is an object of identifiers.
func holdsIDs(p trackway.Property) bool {
	switch p.Name {
	case query.AbsorbedIDs, query.CauseIDs, query.SurvivorIDs:
		return p.Value[0] == '{'
	}
	return false
}

// WithoutIDs returns a merge's properties without these identifiers, nil if it has none of them.
func WithoutIDs(merge *trackway.Event, ids []trackway.Identifier) []byte {
	erased := func(id trackway.Identifier) bool {
		return slices.ContainsFunc(ids, func(e trackway.Identifier) bool { return e.Name == id.Name && e.Value == id.Value })
	}
	if !slices.ContainsFunc(MergeIDs(merge.Properties), erased) {
		return nil
	}
	properties := canonjson.SplitObject(merge.Properties)
	for i := range properties {
		if p := &properties[i]; holdsIDs(*p) {
			p.Value = canonjson.AppendIDs(nil, slices.DeleteFunc(slices.Collect(canonjson.IDsIn(p.Value)), erased))
		}
	}
	return canonjson.AppendObject(nil, properties)
}

// MergeIDs lists the identifiers that a merge was recorded with.
func MergeIDs(properties []byte) (ids []trackway.Identifier) {
	for _, p := range canonjson.SplitObject(properties) {
		if holdsIDs(p) {
			ids = slices.AppendSeq(ids, canonjson.IDsIn(p.Value))
		}
	}
	return ids
}
