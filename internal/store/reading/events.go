package reading

import (
	"bytes"
	"encoding/binary"
	"math"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
	"trackway/internal/store/timeline"
	"trackway/internal/store/totals"
)

// Events implements [query.EventReader].
func (v *Snapshot) Events(project uint32, c trackway.Customer, newestFirst bool, yield func(*trackway.Event) bool) error {
	return v.Timeline(project, c, query.TimelineRange{NewestFirst: newestFirst}, func(e *trackway.Event, _ query.Place) bool {
		return yield(e)
	})
}

// Timeline implements [query.EventReader].
func (v *Snapshot) Timeline(
	project uint32, c trackway.Customer, r query.TimelineRange, yield func(*trackway.Event, query.Place) bool,
) error {
	h, err := Holder(v.from, project, c)
	if err != nil {
		return err
	}
	timelines, err := Timelines(v.from, h)
	if err != nil {
		return err
	}
	w := timeline.Walk{TimelineRange: r}
	defer w.Close()
	for _, c := range timelines {
		if err := w.Add(v.from, c); err != nil {
			return err
		}
	}
	return w.Events(yield)
}

// Log implements [query.EventReader].
func (v *Snapshot) Log(r query.LogRange, yield func(*trackway.Event) bool) error {
	if r.Lost != nil {
		end := r.Last + 1
		if r.Last == 0 {
			end = math.MaxUint64
		}
		return Log(v.from, max(r.First, 1), end, r.Lost, yield)
	}
	low, high := format.AppendLogKey(nil, r.First), []byte{format.TableLog + 1}
	if r.Last != 0 {
		high = append(format.AppendLogKey(nil, r.Last), 0)
	}
	if bytes.Compare(low, high) >= 0 {
		return nil
	}
	types := make(format.TypeNames)
	var e trackway.Event
	return ScanRange(v.from, low, high, r.NewestFirst, func(key, record []byte) (err error) {
		if e, err = format.ViewEvent(binary.BigEndian.Uint64(key[1:]), record, types); err == nil && !yield(&e) {
			err = ErrStop
		}
		return err
	})
}

// Usage implements [query.CountReader].
func (v *Snapshot) Usage(project uint32, yield func(query.Day, query.Usage) bool) error {
	return Scan(v.from, format.Key(nil).UsagePrefix(project), func(day, record []byte) error {
		u, err := totals.Decode(record)
		if err == nil && !yield(query.Day(binary.BigEndian.Uint32(day)), u) {
			err = ErrStop
		}
		return err
	})
}

// Counts implements [query.CountReader].
func (v *Snapshot) Counts(project uint32, r query.CountRange, yield func(query.Count) bool) error {
	return v.counts.Read(project, r, yield)
}

// CountedByName implements [query.CountReader].
func (v *Snapshot) CountedByName(project uint32, typ string) bool {
	return v.counts.ByName(project, typ)
}
