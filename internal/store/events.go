package store

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
	"trackway/internal/store/timeline"
)

// Events implements [query.EventReader].
func (v *snapshot) Events(project uint32, c trackway.Customer, newestFirst bool, yield func(*trackway.Event) bool) error {
	return v.Timeline(project, c, query.TimelineRange{NewestFirst: newestFirst}, func(e *trackway.Event, _ query.Place) bool {
		return yield(e)
	})
}

// Timeline implements [query.EventReader].
func (v *snapshot) Timeline(
	project uint32, c trackway.Customer, r query.TimelineRange, yield func(*trackway.Event, query.Place) bool,
) error {
	h, err := readHolder(v.from, project, c)
	if err != nil {
		return err
	}
	timelines, err := timelinesOf(v.from, h)
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
	log, err := v.from.NewIter(&pebble.IterOptions{LowerBound: []byte{format.TableLog}, UpperBound: []byte{format.TableLog + 1}})
	if err != nil {
		return err
	}
	return errors.Join(w.Events(log, yield), log.Close())
}

// Log implements [query.EventReader].
func (v *snapshot) Log(r query.LogRange, yield func(*trackway.Event) bool) error {
	low, high := format.AppendLogKey(nil, r.First), []byte{format.TableLog + 1}
	if r.Last != 0 {
		high = append(format.AppendLogKey(nil, r.Last), 0)
	}
	if bytes.Compare(low, high) >= 0 {
		return nil
	}
	types := make(format.TypeNames)
	var e trackway.Event
	return scanRange(v.from, low, high, r.NewestFirst, func(key, record []byte) (err error) {
		if e, err = format.ViewEvent(binary.BigEndian.Uint64(key[1:]), record, types); err == nil && !yield(&e) {
			err = errStop
		}
		return err
	})
}

// Version implements [query.Store].
func (s *Store) Version(project uint32) uint64 {
	return s.versions.Of(project).Load()
}
