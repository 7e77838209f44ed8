package erased

import (
	"slices"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/query"
)

// WithoutPersonal returns the remaining properties of an event, or nil if
// nothing must be removed. A merge loses its identifiers even if a client sent
// it, because it may be the record of a merge on another server, exported there
// and imported here.
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

// holdsIDs reports whether a property of a merge is an object of identifiers.
func holdsIDs(p trackway.Property) bool {
	switch p.Name {
	case query.AbsorbedIDs, query.CauseIDs, query.SurvivorIDs:
		return p.Value[0] == '{'
	}
	return false
}

// WithoutIDs returns a merge's properties without these identifiers, or nil if
// it has none of them.
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

// MergeIDs lists the identifiers in the record of a merge.
func MergeIDs(properties []byte) (ids []trackway.Identifier) {
	for _, p := range canonjson.SplitObject(properties) {
		if holdsIDs(p) {
			ids = slices.AppendSeq(ids, canonjson.IDsIn(p.Value))
		}
	}
	return ids
}
